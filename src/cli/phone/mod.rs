//! A softphone of our own, for the demo: real SIP over UDP and real RTP, one call at a time.

mod dialog;
mod voice;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::clock;
use crate::model::{Chance, Moment, Path, Transport};
use crate::sip::digest::{Authorization, Challenge, Login};
use crate::sip::{Happening, Message, Method, Request, Response, Transactions, compose};
use dialog::Dialog;
pub use voice::Heard;
use voice::Voice;

/// How long it registers for, in seconds.
const REGISTRATION_S: u32 = 600;

/// What a phone is told to do.
#[derive(Debug)]
pub enum PhoneOrder {
    /// Register with this user name and password.
    Register {
        /// The user name.
        user: String,
        /// The password.
        password: String,
    },
    /// Dial a number.
    Dial(String),
    /// Hang up, or give up.
    HangUp,
    /// End the registration.
    Unregister,
    /// Hand over what was heard.
    Heard(oneshot::Sender<Vec<i16>>),
}

/// What a phone tells.
#[derive(Clone, Debug, PartialEq)]
pub enum PhoneNews {
    /// Registered.
    Registered,
    /// The registration ended.
    Unregistered,
    /// It rings here.
    Ringing,
    /// The two sides talk.
    Established,
    /// The call is over: what was heard, and the SIP status when it came to nothing.
    Over {
        /// What was heard of the far end.
        heard: Heard,
        /// 486, 487, 503…
        status: Option<u16>,
    },
    /// A request was refused with this status, and why in words.
    Failed(u16, String),
}

/// How a phone is set up.
pub struct PhoneSetup {
    /// The address that it binds to.
    pub address: IpAddr,
    /// The server.
    pub server: SocketAddr,
    /// What it says, 8 kHz.
    pub voice: Arc<[i16]>,
    /// The number or user name in its From.
    pub identity: String,
    /// The name in its From.
    pub name: String,
    /// How long it rings before it is picked up.
    pub rings_for: Duration,
    /// Whether what it hears is kept for [`Phone::heard`].
    pub keeps_heard: bool,
}

/// A running phone.
pub struct Phone {
    orders: mpsc::Sender<PhoneOrder>,
    news: mpsc::Receiver<PhoneNews>,
}

impl Phone {
    /// Binds its sockets and starts it.
    ///
    /// # Errors
    /// When no socket can be bound.
    pub async fn start(setup: PhoneSetup) -> std::io::Result<Phone> {
        let socket = UdpSocket::bind((setup.address, 0)).await?;
        let voice = Voice::bind(setup.address, setup.voice.clone(), setup.keeps_heard).await?;
        let (orders, order_queue) = mpsc::channel(8);
        let (news_queue, news) = mpsc::channel(64);
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(std::io::Error::other)?;
        let body = Body {
            local: socket.local_addr()?,
            socket,
            voice,
            setup,
            transactions: Transactions::new(),
            chance: Chance::new(seed),
            dialog: None,
            login: None,
            answer_at: None,
            register_cseq: 0,
            register_call_id: String::new(),
            register_s: 0,
            has_answered: false,
            news: news_queue,
        };
        tokio::spawn(body.run(order_queue));
        Ok(Phone { orders, news })
    }

    /// Tells the phone to do something.
    pub async fn order(&self, order: PhoneOrder) {
        // A phone whose task has ended says so in `next`.
        let _ = self.orders.send(order).await;
    }

    /// The next thing it tells, waiting at most `patience`.
    pub async fn next(&mut self, patience: Duration) -> Option<PhoneNews> {
        tokio::time::timeout(patience, self.news.recv()).await.ok().flatten()
    }

    /// What was heard of the last call, 8 kHz; empty unless it was to be kept.
    pub async fn heard(&mut self) -> Vec<i16> {
        let (asker, heard) = oneshot::channel();
        self.order(PhoneOrder::Heard(asker)).await;
        heard.await.unwrap_or_default()
    }

    /// Waits for one particular thing, passing over others; `None` when it does not come in time.
    pub async fn wait_for(&mut self, patience: Duration, wanted: impl Fn(&PhoneNews) -> bool) -> Option<PhoneNews> {
        let until = Instant::now() + patience;
        loop {
            let left = until.checked_duration_since(Instant::now())?;
            let news = self.next(left).await?;
            if wanted(&news) {
                return Some(news);
            }
        }
    }
}

struct Body {
    setup: PhoneSetup,
    socket: UdpSocket,
    local: SocketAddr,
    voice: Voice,
    transactions: Transactions,
    chance: Chance,
    dialog: Option<Dialog>,
    login: Option<(String, String)>,
    answer_at: Option<Moment>,
    register_cseq: u32,
    register_call_id: String,
    /// How long the registration asked for is to last, in seconds; none ends it.
    register_s: u32,
    /// Whether the last order's challenge was answered: a second one means a wrong password.
    has_answered: bool,
    news: mpsc::Sender<PhoneNews>,
}

impl Body {
    async fn run(mut self, mut orders: mpsc::Receiver<PhoneOrder>) {
        let mut buffer = vec![0; 65_535];
        loop {
            let next = [self.transactions.deadline(), self.answer_at].into_iter().flatten().min();
            let sleep = next.map_or(Duration::from_secs(3600), |at| at.since(clock::moment()));
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order).await,
                    None => return,
                },
                received = self.socket.recv_from(&mut buffer) => {
                    if let Ok((length, peer)) = received {
                        let bytes = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
                        self.receive(bytes, peer).await;
                    }
                }
                () = self.voice.turn() => {}
                () = tokio::time::sleep(sleep) => {
                    let now = clock::moment();
                    let mut happenings = Vec::new();
                    self.transactions.tick(now, &mut happenings);
                    self.happen(happenings).await;
                    if self.answer_at.is_some_and(|at| at <= now) {
                        self.answer_at = None;
                        self.pick_up().await;
                    }
                }
            }
        }
    }

    async fn obey(&mut self, order: PhoneOrder) {
        match order {
            PhoneOrder::Register { user, password } => {
                self.login = Some((user, password));
                self.register_call_id = self.chance.token();
                self.begin_registration(REGISTRATION_S).await;
            }
            PhoneOrder::Unregister => self.begin_registration(0).await,
            PhoneOrder::Dial(number) => {
                let offer = self.voice.offer(&mut self.chance);
                let mut dialog = Dialog::outgoing(&self.setup, self.local, &number, &mut self.chance);
                let invite = dialog.invite(&self.branch(), offer);
                dialog.sent(invite.clone());
                self.dialog = Some(dialog);
                self.request(invite).await;
            }
            PhoneOrder::HangUp => self.hang_up().await,
            // Whoever asked may be gone.
            PhoneOrder::Heard(asker) => drop(asker.send(self.voice.take_heard())),
        }
    }

    fn branch(&mut self) -> String {
        format!("z9hG4bK{}", self.chance.token())
    }

    fn path(&self) -> Path {
        Path { listener: 0, transport: Transport::Udp, peer: self.setup.server }
    }

    async fn request(&mut self, request: Request) {
        let mut happenings = Vec::new();
        self.transactions.request(self.path(), request, clock::moment(), &mut happenings);
        self.happen(happenings).await;
    }

    async fn begin_registration(&mut self, seconds: u32) {
        (self.register_s, self.has_answered) = (seconds, false);
        self.register(None).await;
    }

    async fn register(&mut self, authorization: Option<String>) {
        let Some((user, _)) = self.login.clone() else { return };
        self.register_cseq += 1;
        let branch = self.branch();
        let tag = self.chance.token();
        let host = self.setup.server.ip();
        let mut request = Request::new(Method::Register, format!("sip:{host}"));
        let headers = &mut request.headers;
        headers.push("Via", format!("SIP/2.0/UDP {};rport;branch={branch}", self.local));
        headers.push("Max-Forwards", "70");
        headers.push("From", format!("<sip:{user}@{host}>;tag={tag}"));
        headers.push("To", format!("<sip:{user}@{host}>"));
        headers.push("Call-ID", self.register_call_id.clone());
        headers.push("CSeq", format!("{} REGISTER", self.register_cseq));
        headers.push("Contact", format!("<sip:{user}@{}>", self.local));
        headers.push("Expires", self.register_s.to_string());
        headers.push("User-Agent", "Vigie demo phone");
        if let Some(authorization) = authorization {
            headers.push("Authorization", authorization);
        }
        self.request(request).await;
    }

    async fn receive(&mut self, bytes: Bytes, peer: SocketAddr) {
        let Ok(message) = Message::parse(&bytes) else { return };
        let path = Path { listener: 0, transport: Transport::Udp, peer };
        let mut happenings = Vec::new();
        self.transactions.receive(path, message, clock::moment(), &mut happenings);
        self.happen(happenings).await;
    }

    async fn happen(&mut self, happenings: Vec<Happening>) {
        for happening in happenings {
            match happening {
                Happening::Send { path, bytes } => self.send(path.peer, &bytes).await,
                Happening::Request { key, path: _, request } => {
                    let answers = self.answer_request(&request).await;
                    for answer in answers {
                        let mut more = Vec::new();
                        self.transactions.respond(&key, answer, clock::moment(), &mut more);
                        Box::pin(self.happen(more)).await;
                    }
                    if request.method == Method::Invite
                        && let Some(dialog) = &mut self.dialog
                    {
                        dialog.incoming_key = Some(key);
                    }
                }
                Happening::Response { key: _, path: _, response } => Box::pin(self.take_response(response)).await,
                Happening::Cancelled { invite, cancel: _ } => {
                    if let Some(dialog) = self.dialog.take() {
                        let answer = compose::response(&dialog.request, 487, Some(&dialog.local_tag));
                        let mut more = Vec::new();
                        self.transactions.respond(&invite, answer, clock::moment(), &mut more);
                        Box::pin(self.happen(more)).await;
                    }
                    self.answer_at = None;
                    self.over(Some(487)).await;
                }
                Happening::TimedOut { .. } | Happening::Cut { .. } => {
                    self.tell(PhoneNews::Failed(408, "the server did not answer".into())).await;
                    self.over(Some(408)).await;
                }
                Happening::Ack { .. } | Happening::Retransmitted => {}
            }
        }
    }

    async fn send(&self, peer: SocketAddr, bytes: &[u8]) {
        // Lost or refused, it is sent again by its transaction.
        let _ = self.socket.send_to(bytes, peer).await;
    }

    async fn tell(&self, news: PhoneNews) {
        let _ = self.news.send(news).await;
    }

    async fn over(&mut self, status: Option<u16>) {
        self.dialog = None;
        let heard = self.voice.stop();
        self.tell(PhoneNews::Over { heard, status }).await;
    }

    /// The answers to a request, in order.
    async fn answer_request(&mut self, request: &Request) -> Vec<Response> {
        let tag = self.chance.token();
        match &request.method {
            Method::Invite if self.dialog.is_some() => vec![compose::response(request, 486, Some(&tag))],
            Method::Invite => {
                self.dialog = Some(Dialog::incoming(request, &tag));
                self.answer_at = Some(clock::moment() + self.setup.rings_for);
                self.tell(PhoneNews::Ringing).await;
                vec![compose::response(request, 180, Some(&tag))]
            }
            Method::Bye => {
                self.over(None).await;
                vec![compose::response(request, 200, Some(&tag))]
            }
            Method::Options => vec![compose::response(request, 200, Some(&tag))],
            _ => vec![compose::response(request, 501, Some(&tag))],
        }
    }

    async fn pick_up(&mut self) {
        let Some(dialog) = &self.dialog else { return };
        let (Some(key), request, tag) = (dialog.incoming_key.clone(), dialog.request.clone(), dialog.local_tag.clone())
        else {
            return;
        };
        let mut answer = compose::response(&request, 200, Some(&tag));
        match self.voice.answer(&request.body, &mut self.chance) {
            Some(sdp) => {
                answer.headers.push("Contact", format!("<sip:{}>", self.local));
                answer.headers.push("Content-Type", "application/sdp");
                answer.body = sdp;
                self.tell(PhoneNews::Established).await;
            }
            None => answer = compose::response(&request, 488, Some(&tag)),
        }
        let mut happenings = Vec::new();
        self.transactions.respond(&key, answer, clock::moment(), &mut happenings);
        self.happen(happenings).await;
    }

    async fn hang_up(&mut self) {
        let branch = self.branch();
        let mut happenings = Vec::new();
        match &mut self.dialog {
            Some(dialog) if dialog.is_established => {
                let bye = dialog.bye(self.local, &branch);
                self.request(bye).await;
                self.over(None).await;
            }
            Some(dialog) => {
                if let Some(key) = dialog.outgoing_key() {
                    self.transactions.cancel(&key, clock::moment(), &mut happenings);
                }
                self.happen(happenings).await;
            }
            None => {}
        }
    }

    async fn take_response(&mut self, response: Response) {
        let Some(cseq) = response.headers.cseq() else { return };
        match (cseq.method, response.status) {
            (Method::Register, 401) => self.register_again(&response).await,
            (Method::Register, 200) => {
                let has_binding = response.headers.has("Contact");
                self.tell(if has_binding { PhoneNews::Registered } else { PhoneNews::Unregistered }).await;
            }
            (Method::Register, status) if status >= 300 => {
                self.tell(PhoneNews::Failed(status, response.reason)).await;
            }
            (Method::Invite, 200..=299) => self.take_acceptance(&response).await,
            (Method::Invite, status) if status >= 300 => self.over(Some(status)).await,
            _ => {}
        }
    }

    async fn register_again(&mut self, response: &Response) {
        let Some((user, password)) = self.login.clone() else { return };
        let challenge = response.headers.auth_params("WWW-Authenticate").iter().find_map(Challenge::read);
        let Some(challenge) = challenge.filter(|_| !std::mem::replace(&mut self.has_answered, true)) else {
            return self.tell(PhoneNews::Failed(401, "the password was not accepted".into())).await;
        };
        let uri = format!("sip:{}", self.setup.server.ip());
        let cnonce = self.chance.token();
        let login = Login { user: &user, password: &password };
        let answer = Authorization::answer(&challenge, &login, &Method::Register, &uri, (&cnonce, 1));
        self.register(Some(answer.to_string())).await;
    }

    async fn take_acceptance(&mut self, response: &Response) {
        let branch = self.branch();
        let Some(dialog) = &mut self.dialog else { return };
        let is_first = !dialog.is_established;
        dialog.establish(response);
        let ack = dialog.ack(self.local, &branch);
        self.send(self.setup.server, &ack.to_bytes()).await;
        if is_first && self.voice.take_answer(&response.body) {
            self.tell(PhoneNews::Established).await;
        }
    }
}
