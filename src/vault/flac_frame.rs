//! One frame of FLAC (RFC 9639 §9): two sides of 16 bits, each predicted by a fixed polynomial, the rest in Rice codes.

/// Samples a side in every frame but the last.
pub(super) const BLOCK_SAMPLES: usize = 4096;
/// The finest division of a frame into partitions of their own Rice parameter: 2^6.
const PARTITION_ORDER_MAX: u32 = 6;
/// The highest order of a fixed predictor (§9.2.5).
const ORDER_MAX: usize = 4;
/// Rice parameters of the first coding method: 4 bits, of which 15 means something else.
const RICE_MAX: u32 = 14;
/// Bits a sample.
const WIDTH: u32 = 16;

/// Encodes frames one after the other; its buffers are used again.
pub(super) struct Encoder {
    rate_code: u64,
    sides: [Vec<i32>; 2],
    residual: Vec<i32>,
    bits: Bits,
}

impl Encoder {
    pub(super) fn new(rate_hz: u32) -> Encoder {
        // §9.1.2; 0: as the stream's head says.
        let rate_code = match rate_hz {
            8000 => 0b0100,
            16_000 => 0b0101,
            24_000 => 0b0111,
            32_000 => 0b1000,
            44_100 => 0b1001,
            48_000 => 0b1010,
            _ => 0,
        };
        Encoder { rate_code, sides: [Vec::new(), Vec::new()], residual: Vec::new(), bits: Bits::default() }
    }

    /// The frame of `samples`: left and right in turn, 16 bits, little-endian.
    pub(super) fn encode(&mut self, number: u64, samples: &[u8]) -> &[u8] {
        self.sides.iter_mut().for_each(Vec::clear);
        for both in samples.chunks_exact(4) {
            if let [left_low, left_high, right_low, right_high] = both {
                self.sides[0].push(i32::from(i16::from_le_bytes([*left_low, *left_high])));
                self.sides[1].push(i32::from(i16::from_le_bytes([*right_low, *right_high])));
            }
        }
        let count = self.sides[0].len();
        self.bits.clear();
        self.put_header(number, count);
        let mut sides = std::mem::take(&mut self.sides);
        for side in &mut sides {
            self.put_side(side);
        }
        self.sides = sides;
        self.bits.align();
        let crc = crc16(&self.bits.bytes);
        self.bits.bytes.extend(crc.to_be_bytes());
        &self.bits.bytes
    }

    fn put_header(&mut self, number: u64, count: usize) {
        let is_whole = count == BLOCK_SAMPLES;
        // Sync, one length for all blocks; the length's and the rate's code; two sides by themselves; 16 bits.
        self.bits.put(0xfff8, 16);
        self.bits.put(if is_whole { 0b1100 } else { 0b0111 }, 4);
        self.bits.put(self.rate_code, 4);
        self.bits.put(0b0001, 4);
        self.bits.put(0b1000, 4);
        put_number(&mut self.bits, number);
        if !is_whole {
            self.bits.put((count.max(1) - 1) as u64, 16);
        }
        let crc = crc8(&self.bits.bytes);
        self.bits.put(u64::from(crc), 8);
    }

    /// One subframe.
    fn put_side(&mut self, side: &mut [i32]) {
        let Some(first) = side.first().copied() else { return };
        if side.iter().all(|sample| *sample == first) {
            self.bits.put(0, 8);
            return self.bits.put_signed(first, WIDTH);
        }
        // Low bits that are 0 in every sample, as G.711 leaves them, are said once.
        let wasted = side.iter().fold(0, |all, sample| all | *sample).trailing_zeros().min(WIDTH - 1);
        side.iter_mut().for_each(|sample| *sample >>= wasted);
        let width = WIDTH - wasted;
        let order = best_order(side);
        predict(side, order, &mut self.residual);
        let plan = Plan::of(&self.residual, side.len(), order);
        if plan.bits + u64::from(width) * order as u64 >= u64::from(width) * side.len() as u64 {
            self.put_kind(0b00_0001, wasted);
            return side.iter().for_each(|sample| self.bits.put_signed(*sample, width));
        }
        self.put_kind(0b00_1000 | order as u64, wasted);
        side.iter().take(order).for_each(|sample| self.bits.put_signed(*sample, width));
        self.bits.put(0, 2);
        self.bits.put(u64::from(plan.partition_order), 4);
        let mut rest = self.residual.as_slice();
        for (number, rice) in plan.rice.iter().enumerate() {
            let length = (side.len() >> plan.partition_order) - if number == 0 { order } else { 0 };
            let (partition, after) = rest.split_at(length.min(rest.len()));
            rest = after;
            self.bits.put(u64::from(*rice), 4);
            partition.iter().for_each(|value| self.bits.put_rice(fold(*value), *rice));
        }
    }

    fn put_kind(&mut self, kind: u64, wasted: u32) {
        self.bits.put(kind, 7);
        self.bits.put(u64::from(wasted > 0), 1);
        if wasted > 0 {
            self.bits.put(1, wasted);
        }
    }
}

/// How a residual is divided.
struct Plan {
    partition_order: u32,
    /// The parameter of each partition.
    rice: Vec<u32>,
    /// What it takes.
    bits: u64,
}

impl Plan {
    /// The division that takes the fewest bits.
    fn of(residual: &[i32], count: usize, order: usize) -> Plan {
        let is_possible = |division: &u32| count.is_multiple_of(1 << division) && count >> division > order;
        let finest = (0..=PARTITION_ORDER_MAX).filter(is_possible).max().unwrap_or_default();
        // What each partition's values come to, shifted by each parameter; those of two together are their sums.
        let mut sums: Vec<(u64, [u64; RICE_MAX as usize + 1])> = Vec::new();
        let mut rest = residual;
        for number in 0..1usize << finest {
            let length = (count >> finest) - if number == 0 { order } else { 0 };
            let (partition, after) = rest.split_at(length.min(rest.len()));
            rest = after;
            let mut sum = [0; RICE_MAX as usize + 1];
            for value in partition {
                let folded = u64::from(fold(*value));
                (0..).zip(&mut sum).for_each(|(shift, sum): (u32, &mut u64)| *sum += folded >> shift);
            }
            sums.push((partition.len() as u64, sum));
        }
        let mut best = Plan::with(finest, &sums);
        for division in (0..finest).rev() {
            sums = sums.chunks(2).map(join).collect();
            let plan = Plan::with(division, &sums);
            if plan.bits < best.bits {
                best = plan;
            }
        }
        best
    }

    fn with(partition_order: u32, sums: &[(u64, [u64; RICE_MAX as usize + 1])]) -> Plan {
        let mut plan = Plan { partition_order, rice: Vec::with_capacity(sums.len()), bits: 6 };
        for (count, sum) in sums {
            let costs = (0..).zip(sum).map(|(rice, sum): (u32, &u64)| (count * u64::from(rice + 1) + sum, rice));
            let (bits, rice) = costs.min().unwrap_or_default();
            plan.rice.push(rice);
            plan.bits += bits + 4;
        }
        plan
    }
}

fn join(two: &[(u64, [u64; RICE_MAX as usize + 1])]) -> (u64, [u64; RICE_MAX as usize + 1]) {
    let mut joined = (0, [0; RICE_MAX as usize + 1]);
    for (count, sum) in two {
        joined.0 += count;
        joined.1.iter_mut().zip(sum).for_each(|(to, from)| *to += from);
    }
    joined
}

/// The order whose residual is smallest.
fn best_order(side: &[i32]) -> usize {
    let mut last = [0i64; ORDER_MAX];
    let mut sums = [0u64; ORDER_MAX + 1];
    for (place, sample) in side.iter().enumerate() {
        let mut difference = i64::from(*sample);
        for (order, sum) in sums.iter_mut().enumerate() {
            if place >= ORDER_MAX {
                *sum += difference.unsigned_abs();
            }
            if let Some(last) = last.get_mut(order) {
                let before = std::mem::replace(last, difference);
                difference -= before;
            }
        }
    }
    let highest = ORDER_MAX.min(side.len() - 1);
    (0..=highest).zip(sums).min_by_key(|(_, sum)| *sum).map_or(0, |(order, _)| order)
}

/// What a fixed predictor of this order leaves (§9.2.5): the differences, so many times.
fn predict(side: &[i32], order: usize, residual: &mut Vec<i32>) {
    residual.clear();
    residual.extend(side);
    for _ in 0..order {
        let mut before = residual.first().copied().unwrap_or_default();
        for value in residual.iter_mut().skip(1) {
            let this = *value;
            *value = this - before;
            before = this;
        }
        residual.remove(0);
    }
}

/// Signed to unsigned, small ones first (§9.2.7.1).
fn fold(value: i32) -> u32 {
    (value << 1 ^ value >> 31) as u32
}

/// A frame's number as UTF-8 codes a character, up to 36 bits (§9.1.5).
fn put_number(bits: &mut Bits, number: u64) {
    if number < 0x80 {
        return bits.put(number, 8);
    }
    let length = (2..=7).find(|length| number < 1 << (5 * length + 1)).unwrap_or(7);
    let rest = 6 * (length - 1);
    bits.put(0xff << (8 - length) & 0xff | number.checked_shr(rest).unwrap_or_default(), 8);
    for place in (0..length - 1).rev() {
        bits.put(0x80 | number >> (6 * place) & 0x3f, 8);
    }
}

/// Bits in order, the highest first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits {
    fn clear(&mut self) {
        self.bytes.clear();
        (self.held, self.count) = (0, 0);
    }

    /// The low `count` bits of `value`, at most 32.
    fn put(&mut self, value: u64, count: u32) {
        self.held = self.held << count | value & ((1 << count) - 1);
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            self.bytes.push((self.held >> self.count) as u8);
        }
    }

    fn put_signed(&mut self, value: i32, count: u32) {
        self.put(u64::from(value as u32), count);
    }

    fn put_rice(&mut self, folded: u32, rice: u32) {
        let mut zeros = folded >> rice;
        while zeros > 24 {
            self.put(0, 24);
            zeros -= 24;
        }
        self.put(1, zeros + 1);
        self.put(u64::from(folded), rice);
    }

    fn align(&mut self) {
        if self.count > 0 {
            self.put(0, 8 - self.count);
        }
    }
}

/// §9.1.8: x^8 + x^2 + x + 1.
fn crc8(bytes: &[u8]) -> u8 {
    let step = |crc: u8, _: u32| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 0x07 };
    bytes.iter().fold(0, |crc, byte| (0..8).fold(crc ^ byte, step))
}

/// One step of eight bits, for each byte: x^16 + x^15 + x^2 + 1 (§9.3).
const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let (mut value, mut bit) = ((n as u16) << 8, 0);
        while bit < 8 {
            value = if value & 0x8000 == 0 { value << 1 } else { value << 1 ^ 0x8005 };
            bit += 1;
        }
        table[n] = value;
        n += 1;
    }
    table
};

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let step = TABLE.get(usize::from((crc >> 8) as u8 ^ byte)).copied().unwrap_or_default();
        crc << 8 ^ step
    })
}
