//! What a simulated phone makes of the messages that reach it.

use super::*;

impl Phone {
    /// A message from Vigie.
    pub fn receive(&mut self, text: &Text, turn: &mut Turn) -> Option<News> {
        match text.status() {
            Some(status) => self.hear_answer(text, status, turn),
            None => self.hear_request(text, turn),
        }
    }

    fn hear_answer(&mut self, text: &Text, status: u16, turn: &mut Turn) -> Option<News> {
        let (number, method) = text.cseq();
        let call_id = text.header("call-id").to_owned();
        let key = (text.branch().to_owned(), method.to_owned());
        if method == "INVITE" {
            if (200..300).contains(&status) && !self.pending.contains_key(&key) {
                // A 200 again: its ACK was lost.
                let (acked, ack) = self.talks.get(&call_id)?.ack.clone()?;
                if acked == number && !self.talks.get(&call_id)?.loses_acks {
                    turn.sends.push(ack);
                }
                return None;
            }
            return self.hear_invite_answer(text, status, key, turn);
        }
        if status < 200 {
            return None;
        }
        self.pending.remove(&key)?;
        match method {
            "REGISTER" => Some(News::Registered { answer: Some(text.clone()) }),
            "BYE" => {
                self.turn_to(&call_id, Stage::Over, turn);
                Some(News::Over)
            }
            "REFER" => Some(News::Referred { call_id, status }),
            _ => None,
        }
    }

    fn hear_invite_answer(&mut self, text: &Text, status: u16, key: (String, String), turn: &mut Turn) -> Option<News> {
        let call_id = text.header("call-id").to_owned();
        let talk = self.talks.get_mut(&call_id)?;
        let is_first = key.0 == talk.invite_branch;
        if status < 200 {
            if !self.pending.contains_key(&key) || !is_first {
                return None;
            }
            match talk.stage {
                Stage::Inviting(false) => talk.stage = Stage::Inviting(true),
                Stage::Cancelling if !self.pending.contains_key(&(key.0.clone(), "CANCEL".into())) => {
                    // The INVITE is out and known: now the CANCEL may go; the INVITE is not repeated any more.
                    self.cancel(&call_id, &key.0, turn);
                }
                _ => {}
            }
            return None;
        }
        let pending = self.pending.remove(&key);
        if (200..300).contains(&status) {
            return self.hear_ok(text, call_id, is_first, turn);
        }
        self.ack_refusal(text, &call_id, &key.0, turn);
        pending?;
        if is_first {
            self.turn_to(&call_id, Stage::Over, turn);
            return Some(News::Refused { answer: text.clone() });
        }
        // RFC 3261 §14.1: a re-INVITE answered 408 or 481 ends the dialog; others leave it as it was.
        if matches!(status, 408 | 481) {
            self.turn_to(&call_id, Stage::Over, turn);
            return Some(News::Over);
        }
        None
    }

    fn hear_ok(&mut self, text: &Text, call_id: String, is_first: bool, turn: &mut Turn) -> Option<News> {
        let (number, _) = text.cseq();
        let branch = format!("z9hG4bK{}", self.token());
        let via = self.via(&branch);
        let talk = self.talks.get_mut(&call_id)?;
        if is_first {
            talk.remote = text.header("to").to_owned();
        }
        talk.target = text.contact().to_owned();
        let mut letter = Letter::new(format!("ACK {} SIP/2.0", talk.target))
            .with("Via", &via)
            .with("Max-Forwards", "70")
            .with("From", &talk.local)
            .with("To", &talk.remote)
            .with("Call-ID", &call_id)
            .with("CSeq", &format!("{number} ACK"));
        if talk.is_late && is_first {
            letter = letter.with_sdp(&sdp(talk.rtp, 1, talk.codecs, "sendrecv"));
        }
        let ack = letter.bytes();
        talk.ack = Some((number, ack.clone()));
        if !talk.loses_acks {
            turn.sends.push(ack);
        }
        if !is_first {
            return None;
        }
        let gave_up = talk.stage == Stage::Cancelling;
        self.turn_to(&call_id, Stage::Confirmed, turn);
        if gave_up {
            self.hang_up(&call_id, turn);
            return None;
        }
        Some(News::Talks { call_id })
    }

    fn ack_refusal(&mut self, text: &Text, call_id: &str, branch: &str, turn: &mut Turn) {
        let via = self.via(branch);
        let Some(talk) = self.talks.get(call_id) else { return };
        let (number, _) = text.cseq();
        let letter = Letter::new(format!("ACK {} SIP/2.0", talk.target))
            .with("Via", &via)
            .with("Max-Forwards", "70")
            .with("From", text.header("from"))
            .with("To", text.header("to"))
            .with("Call-ID", call_id)
            .with("CSeq", &format!("{number} ACK"));
        turn.sends.push(letter.bytes());
    }

    fn hear_request(&mut self, text: &Text, turn: &mut Turn) -> Option<News> {
        let method = text.method().to_owned();
        let key = (text.branch().to_owned(), method.clone());
        if let Some(answer) = self.answered.get(&key) {
            turn.sends.push(answer.clone());
            return None;
        }
        let call_id = text.header("call-id").to_owned();
        match method.as_str() {
            "INVITE" => self.hear_invite(text, call_id, key, turn),
            "ACK" => self.hear_ack(call_id, turn),
            "BYE" => {
                let status = if self.talks.contains_key(&call_id) { 200 } else { 481 };
                self.reply(text, status, key, turn);
                let talk = self.talks.get_mut(&call_id).filter(|talk| talk.stage != Stage::Over)?;
                talk.last = None;
                self.turn_to(&call_id, Stage::Over, turn);
                Some(News::Over)
            }
            "CANCEL" => {
                let talk = self.talks.get(&call_id);
                let matches = talk.is_some_and(|t| t.invite.as_ref().is_some_and(|i| i.branch() == key.0));
                self.reply(text, if matches { 200 } else { 481 }, key, turn);
                if !matches || talk_stage(self, &call_id) != Some(Stage::Ringing) {
                    return None;
                }
                self.answer(&call_id, 487, "Request Terminated", turn);
                Some(News::Over)
            }
            _ => {
                let is_known = talk_stage(self, &call_id).is_some_and(|stage| stage != Stage::Over);
                self.reply(text, if is_known { 200 } else { 481 }, key, turn);
                let status = text.body.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)?.parse().ok());
                status.filter(|_| method == "NOTIFY").map(|status| News::Progress { call_id, status })
            }
        }
    }

    fn reply(&mut self, text: &Text, status: u16, key: (String, String), turn: &mut Turn) {
        let bytes = text.answer(status, "Answer", "simple").bytes();
        self.answered.insert(key, bytes.clone());
        turn.sends.push(bytes);
    }

    fn hear_ack(&mut self, call_id: String, turn: &mut Turn) -> Option<News> {
        let talk = self.talks.get_mut(&call_id)?;
        talk.last = None;
        if talk.stage != Stage::Accepted {
            return None;
        }
        self.turn_to(&call_id, Stage::Confirmed, turn);
        Some(News::Talks { call_id })
    }

    fn hear_invite(&mut self, text: &Text, call_id: String, key: (String, String), turn: &mut Turn) -> Option<News> {
        if text.header("to").contains(";tag=") {
            return self.hear_reinvite(text, &call_id, key, turn);
        }
        if let Some(talk) = self.talks.get(&call_id) {
            // Repeated: the last answer again, or still ringing.
            let again = talk.last.as_ref().map(|last| last.bytes.clone());
            turn.sends.push(again.unwrap_or_else(|| text.answer(180, "Ringing", "").bytes()));
            return None;
        }
        if self.is_busy() {
            self.reply(text, 486, key, turn);
            return None;
        }
        let tag = self.token();
        let port = 20_000 + 2 * (self.chance.below(20_000) as u16);
        let talk = Talk {
            call_id: call_id.clone(),
            stage: Stage::Ringing,
            vigie_call: text.header("x-vigie-call").to_owned(),
            rtp: SocketAddr::new(self.media, port),
            codecs: ["8 0", "8", "0"][self.chance.below(3) as usize],
            holding: false,
            since_ms: self.now_ms,
            local: format!("{};tag={tag}", text.header("to")),
            remote: text.header("from").to_owned(),
            target: text.contact().to_owned(),
            cseq: 0,
            invite: Some(text.clone()),
            invite_branch: String::new(),
            last: None,
            ack: None,
            version: 1,
            is_late: false,
            loses_acks: false,
        };
        turn.sends.push(text.answer(180, "Ringing", &tag).with("Contact", &self.contact()).bytes());
        self.talks.insert(call_id.clone(), talk);
        Some(News::Rings { call_id })
    }

    /// Vigie keeps the dialog alive, or offers other media: it is answered as it stands.
    fn hear_reinvite(&mut self, text: &Text, call_id: &str, key: (String, String), turn: &mut Turn) -> Option<News> {
        let contact = self.contact();
        let Some(talk) = self.talks.get(call_id).filter(|talk| talk.stage != Stage::Over) else {
            self.reply(text, 481, key, turn);
            return None;
        };
        let way = if talk.holding { "sendonly" } else { "sendrecv" };
        let body = sdp(talk.rtp, talk.version, talk.codecs, way);
        let bytes = text.answer(200, "OK", "").with("Contact", &contact).with_sdp(&body).bytes();
        self.answered.insert(key, bytes.clone());
        turn.sends.push(bytes);
        None
    }
}
