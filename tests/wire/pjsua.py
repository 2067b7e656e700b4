"""A softphone on pjsua2 2.15.1 for the wire tests, steered by JSON lines.

An order comes as one line on standard input: {"id": 1, "do": "dial", ...}; its answer leaves as {"answer": 1, ...},
with "error" when it could not be carried out. What happens to the phone leaves as {"event": "call", ...}.
pjsua2 runs in this one thread alone, which also reads the orders. When standard input closes, the phone ends.
"""

import json
import os
import select
import sys

import pjsua2 as pj

# Samples a second of everything heard and said, unless it is set up otherwise.
RATE = 8000
# How long pjsua2 may wait for something to happen before orders are looked at again.
LOOK_EVERY_MS = 10


def tell(**event):
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


class Call(pj.Call):
    """One call; its voice goes into a WAV file that is named after its number."""

    def __init__(self, phone, call_id=pj.PJSUA_INVALID_ID):
        pj.Call.__init__(self, phone.account, call_id)
        self.phone = phone
        self.number = phone.calls_begun
        phone.calls_begun += 1
        phone.calls[self.number] = self
        self.recorder = None

    def onCallState(self, prm):
        now = self.getInfo()
        tell(event="call", call=self.number, state=now.stateText, status=now.lastStatusCode, reason=now.lastReason)
        if now.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.phone.calls.pop(self.number, None)
            # Freed only when nothing of it is on the stack any more.
            self.phone.over.append(self)

    def onCallMediaState(self, prm):
        # Kept by name while its media are looked at: they live in it.
        now = self.getInfo()
        for medium in now.media:
            if medium.type != pj.PJMEDIA_TYPE_AUDIO:
                continue
            tell(event="media", call=self.number, status=medium.status, direction=medium.dir)
            if medium.status not in (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD):
                continue
            audio = self.getAudioMedia(medium.index)
            self.phone.tone.startTransmit(audio)
            if self.recorder is None:
                self.recorder = pj.AudioMediaRecorder()
                self.recorder.createRecorder(os.path.join(self.phone.folder, f"heard-{self.number}.wav"))
            audio.startTransmit(self.recorder)

    def onDtmfDigit(self, prm):
        tell(event="key", call=self.number, digit=prm.digit)

    def onCallTransferRequest(self, prm):
        tell(event="transfer-asked", call=self.number, to=prm.dstUri)
        prm.statusCode = 603

    def onCallTransferStatus(self, prm):
        tell(event="transfer", call=self.number, status=prm.statusCode, reason=prm.reason, final=bool(prm.finalNotify))

    def onCallReplaced(self, prm):
        tell(event="replaced", call=self.number, by=prm.newCallId)


class Account(pj.Account):
    def __init__(self, phone):
        pj.Account.__init__(self)
        self.phone = phone

    def onRegState(self, prm):
        tell(event="registration", status=prm.code, reason=prm.reason, expires=prm.expiration)

    def onIncomingCall(self, prm):
        call = Call(self.phone, prm.callId)
        tell(event="incoming", call=call.number, message=prm.rdata.wholeMsg)
        for status in self.phone.manner:
            call.answer(operation(status))


def operation(status=0, reason=""):
    one = pj.CallOpParam(True)
    one.statusCode = status
    one.reason = reason
    return one


class Phone:
    """Everything that an order can name."""

    def __init__(self, setup):
        self.folder = setup["folder"]
        self.rate = setup.get("rate", RATE)
        # The answers that an incoming call gets by itself, in their order.
        self.manner = setup.get("manner", [180, 200])
        self.calls, self.calls_begun, self.over = {}, 0, []
        self.endpoint = pj.Endpoint()
        self.endpoint.libCreate()
        self.endpoint.libInit(self.library(setup))
        self.endpoint.audDevManager().setNullDev()
        self.open_transport(setup)
        self.endpoint.libStart()
        self.prefer_codec(setup)
        self.tone = pj.ToneGenerator()
        self.tone.createToneGenerator(self.rate, 1)
        self.say(setup.get("tone", 440))
        self.account = Account(self)
        self.account.create(self.account_of(setup), True)

    def library(self, setup):
        all_of_it = pj.EpConfig()
        all_of_it.uaConfig.threadCnt = 0
        all_of_it.uaConfig.userAgent = "wire-pjsua2"
        all_of_it.uaConfig.maxCalls = 4
        all_of_it.medConfig.clockRate = self.rate
        all_of_it.medConfig.sndClockRate = self.rate
        all_of_it.medConfig.ecTailLen = 0
        all_of_it.medConfig.noVad = True
        all_of_it.medConfig.threadCnt = 1
        all_of_it.medConfig.hasIoqueue = True
        all_of_it.logConfig.filename = os.path.join(self.folder, "pjsip.log")
        all_of_it.logConfig.level = 5
        all_of_it.logConfig.consoleLevel = 0
        all_of_it.logConfig.msgLogging = 1
        return all_of_it

    def open_transport(self, setup):
        where = pj.TransportConfig()
        where.boundAddress = setup["address"]
        where.port = setup.get("port", 0)
        kind = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP, "tls": pj.PJSIP_TRANSPORT_TLS}
        if setup["transport"] == "tls":
            where.tlsConfig.CaListFile = setup["ca"]
            where.tlsConfig.verifyServer = True
            where.tlsConfig.certFile = setup.get("certificate", "")
            where.tlsConfig.privKeyFile = setup.get("key", "")
        self.transport = self.endpoint.transportCreate(kind[setup["transport"]], where)

    def prefer_codec(self, setup):
        wanted = setup.get("codec", "PCMA")
        also = () if setup.get("codec_alone", False) else ("PCM", setup.get("codec_also", "PCM"))
        for codec in self.endpoint.codecEnum2():
            name = codec.codecId
            others = 100 if also and name.startswith(also) else 0
            self.endpoint.codecSetPriority(name, 200 if name.startswith(wanted) else others)

    def account_of(self, setup):
        host, transport = setup["server"], setup["transport"]
        route = "" if transport == "udp" else f";transport={transport}"
        one = pj.AccountConfig()
        one.idUri = f"sip:{setup['user']}@{setup.get('domain', host)}"
        if "password" in setup:
            one.regConfig.registrarUri = f"sip:{host}{route}"
            one.regConfig.timeoutSec = setup.get("expires", 600)
            one.regConfig.retryIntervalSec = 0
            one.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", setup["user"], 0, setup["password"]))
        one.sipConfig.transportId = self.transport
        one.mediaConfig.srtpUse = {
            "off": pj.PJMEDIA_SRTP_DISABLED,
            "preferred": pj.PJMEDIA_SRTP_OPTIONAL,
            "required": pj.PJMEDIA_SRTP_MANDATORY,
        }[setup.get("srtp", "off")]
        if "suite" in setup:
            alone = pj.SrtpCrypto()
            alone.name, alone.flags = setup["suite"], 0
            one.mediaConfig.srtpOpt.cryptos.append(alone)
        # Keys over whatever carries the SIP: the test's own wish.
        one.mediaConfig.srtpSecureSignaling = 0
        one.mediaConfig.transportConfig.boundAddress = setup["address"]
        one.mediaConfig.transportConfig.port = setup["media_port"]
        one.mediaConfig.transportConfig.portRange = 100
        one.callConfig.timerUse = {
            "inactive": pj.PJSUA_SIP_TIMER_INACTIVE,
            "optional": pj.PJSUA_SIP_TIMER_OPTIONAL,
            "required": pj.PJSUA_SIP_TIMER_REQUIRED,
            "always": pj.PJSUA_SIP_TIMER_ALWAYS,
        }[setup.get("timer", "optional")]
        one.callConfig.timerMinSESec = setup.get("timer_min", 90)
        one.callConfig.timerSessExpiresSec = setup.get("timer_expires", 1800)
        one.callConfig.prackUse = {
            "optional": pj.PJSUA_100REL_OPTIONAL,
            "mandatory": pj.PJSUA_100REL_MANDATORY,
            "none": pj.PJSUA_100REL_NOT_USED,
        }[setup.get("prack", "none")]
        return one

    def say(self, tone):
        one = pj.ToneDesc()
        one.freq1, one.freq2, one.on_msec, one.off_msec = int(tone), 0, 1000, 0
        self.tone.stop()
        self.tone.play(pj.ToneDescVector([one]), True)

    # The orders, each named by its "do".

    def do_manner(self, order):
        self.manner = order["statuses"]

    def do_dial(self, order):
        call = Call(self)
        call.makeCall(order["uri"], pj.CallOpParam(True))
        return call.number

    def do_answer(self, order):
        self.calls[order["call"]].answer(operation(order["status"]))

    def do_hold(self, order):
        self.calls[order["call"]].setHold(pj.CallOpParam(True))

    def do_resume(self, order):
        back = pj.CallOpParam(True)
        back.opt.flag = pj.PJSUA_CALL_UNHOLD
        self.calls[order["call"]].reinvite(back)

    def do_reinvite(self, order):
        self.calls[order["call"]].reinvite(pj.CallOpParam(True))

    def do_update(self, order):
        self.calls[order["call"]].update(pj.CallOpParam(True))

    def do_transfer(self, order):
        self.calls[order["call"]].xfer(order["to"], pj.CallOpParam(True))

    def do_transfer_attended(self, order):
        self.calls[order["call"]].xferReplaces(self.calls[order["with"]], pj.CallOpParam(True))

    def do_keys(self, order):
        press = pj.CallSendDtmfParam()
        press.digits = order["digits"]
        press.method = pj.PJSUA_DTMF_METHOD_SIP_INFO if order["by"] == "info" else pj.PJSUA_DTMF_METHOD_RFC2833
        self.calls[order["call"]].sendDtmf(press)

    def do_hang_up(self, order):
        self.calls[order["call"]].hangup(operation(order.get("status", 0)))

    def do_unregister(self, order):
        self.account.setRegistration(False)

    def do_register(self, order):
        self.account.setRegistration(True)

    def carry_out(self, line):
        order = json.loads(line)
        try:
            tell(answer=order["id"], value=getattr(self, "do_" + order["do"])(order))
        except pj.Error as error:
            tell(answer=order["id"], error=error.info())
        except (KeyError, AttributeError, TypeError) as error:
            tell(answer=order["id"], error=repr(error))

    def live(self):
        """Until standard input closes."""
        waiting = b""
        while True:
            self.endpoint.libHandleEvents(LOOK_EVERY_MS)
            self.over.clear()
            if not select.select([0], [], [], 0)[0]:
                continue
            came = os.read(0, 65536)
            if not came:
                return
            *lines, waiting = (waiting + came).split(b"\n")
            for line in lines:
                self.carry_out(line)


phone = Phone(json.loads(sys.argv[1]))
tell(event="up")
phone.live()
# Nothing is unregistered or hung up: the phone has lost its power.
os._exit(0)
