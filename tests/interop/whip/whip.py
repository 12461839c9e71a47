"""GStreamer's webrtcbin publishes by WHIP (RFC 9725) and watches by WHEP: another stack (libnice, OpenSSL, an RSA certificate).

    whip.py https://host:port ROOM

One process publishes a red picture and a tone; a second connection, made later, watches the room and looks at what it gets.
Says a line for each thing that holds; ends with 1 and what happened where something does not.
"""

import ssl
import sys
import threading
import time
import urllib.error
import urllib.request

import gi

for library in ("Gst", "GstWebRTC", "GstSdp"):
    gi.require_version(library, "1.0")
from gi.repository import Gst, GstSdp, GstWebRTC  # noqa: E402

# What a step may take on a busy machine; nothing is proven by it.
PATIENCE = 40
VP8 = "application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000"
OPUS = "application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000,encoding-params=(string)2"
PUBLISHER = f"""
  webrtcbin name=peer bundle-policy=max-bundle
  videotestsrc is-live=true pattern=red ! video/x-raw,width=320,height=240,framerate=15/1
    ! vp8enc deadline=1 cpu-used=8 target-bitrate=300000 keyframe-max-dist=3000 ! rtpvp8pay picture-id-mode=15-bit ! {VP8} ! peer.
  audiotestsrc is-live=true freq=440 ! opusenc ! rtpopuspay ! {OPUS} ! peer.
"""


class Failed(Exception):
    """Something did not happen, or something else did."""


def ask(method, url, body=None):
    """The answer's status, headers and text; of any server, whatever its certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    headers = {"Content-Type": "application/sdp"} if body else {}
    request = urllib.request.Request(url, body.encode() if body else None, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE, context=context) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        raise Failed(f"{method} {url}: {error.code} {error.read(300).decode(errors='replace')}") from error


class Peer:
    """One webrtcbin, and the session it has at the server."""

    def __init__(self, server, pipeline, element):
        self.server, self.pipeline, self.element = server, pipeline, element
        self.session, self.trouble, self.replies = None, None, []
        bus = pipeline.get_bus()
        bus.add_signal_watch()
        threading.Thread(target=self.watch_bus, args=(bus,), daemon=True).start()

    def watch_bus(self, bus):
        while True:
            message = bus.timed_pop_filtered(Gst.CLOCK_TIME_NONE, Gst.MessageType.ERROR)
            if message:
                error, detail = message.parse_error()
                self.trouble = f"{error.message} ({detail})"

    def wait(self, what, holds):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.trouble:
                raise Failed(f"{what}: {self.trouble}")
            if holds():
                return
            time.sleep(0.05)
        state = self.element.get_property("connection-state").value_nick
        ice = self.element.get_property("ice-connection-state").value_nick
        raise Failed(f"{what}: not within {PATIENCE} s; the connection is {state}, ICE is {ice}")

    def call(self, signal, *arguments):
        """A question to webrtcbin that is answered by a promise."""
        promise = Gst.Promise.new()
        self.element.emit(signal, *arguments, promise)
        if promise.wait() != Gst.PromiseResult.REPLIED:
            raise Failed(f"{signal}: no reply")
        # What is taken from it lives as long as it does.
        self.replies.append(promise.get_reply())
        return self.replies[-1]

    def connect(self, path, direction):
        index = 0
        while (transceiver := self.element.emit("get-transceiver", index)) is not None:
            transceiver.set_property("direction", direction)
            index += 1
        offer = self.call("create-offer", None).get_value("offer")
        self.call("set-local-description", offer)
        gathered = GstWebRTC.WebRTCICEGatheringState.COMPLETE
        self.wait("gathering candidates", lambda: self.element.get_property("ice-gathering-state") == gathered)
        local = self.element.get_property("local-description").sdp.as_text()
        status, headers, answer = ask("POST", self.server + path, local)
        if status != 201 or not headers.get("Location", "").startswith(path.split("?")[0] + "/"):
            raise Failed(f"POST {path}: {status}, Location {headers.get('Location')}")
        self.session = headers["Location"]
        result, description = GstSdp.SDPMessage.new_from_text(answer)
        if result != GstSdp.SDPResult.OK:
            raise Failed(f"an answer that cannot be read: {answer}")
        kind = GstWebRTC.WebRTCSDPType.ANSWER
        self.call("set-remote-description", GstWebRTC.WebRTCSessionDescription.new(kind, description))
        connected = GstWebRTC.WebRTCPeerConnectionState.CONNECTED
        self.wait(f"connecting to {path}", lambda: self.element.get_property("connection-state") == connected)

    def end(self):
        if self.session:
            ask("DELETE", self.server + self.session)
        self.pipeline.set_state(Gst.State.NULL)


def publish(server, room):
    pipeline = Gst.parse_launch(PUBLISHER)
    peer = Peer(server, pipeline, pipeline.get_by_name("peer"))
    pipeline.set_state(Gst.State.PLAYING)
    # The sources have said what they are.
    peer.wait("describing the sources", lambda: all(pad.get_current_caps() for pad in peer.element.sinkpads))
    peer.connect(f"/whip/{room}?name=GStreamer", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
    return peer


class Screen:
    """What a subscriber sees and hears."""

    def __init__(self):
        self.pictures, self.colour, self.sounds, self.loudest = 0, None, 0, 0

    def on_picture(self, sink):
        buffer = sink.emit("pull-sample").get_buffer()
        ok, mapped = buffer.map(Gst.MapFlags.READ)
        if ok:
            middle = len(mapped.data) // 2 // 3 * 3
            self.colour = tuple(mapped.data[middle : middle + 3])
            self.pictures += 1
            buffer.unmap(mapped)
        return Gst.FlowReturn.OK

    def on_sound(self, sink):
        buffer = sink.emit("pull-sample").get_buffer()
        ok, mapped = buffer.map(Gst.MapFlags.READ)
        if ok:
            samples = memoryview(mapped.data).cast("h")
            self.loudest = max(self.loudest, max(samples, default=0))
            self.sounds += 1
            buffer.unmap(mapped)
        return Gst.FlowReturn.OK

    def show(self, pipeline, pad):
        kind = pad.get_current_caps().get_structure(0).get_string("media")
        if kind == "video":
            words = "rtpvp8depay ! vp8dec ! videoconvert ! video/x-raw,format=RGB ! appsink name=sink emit-signals=true sync=false"
            handler = self.on_picture
        else:
            words = "rtpopusdepay ! opusdec ! audioconvert ! audio/x-raw,format=S16LE ! appsink name=sink emit-signals=true sync=false"
            handler = self.on_sound
        chain = Gst.parse_bin_from_description(words, True)
        chain.get_by_name("sink").connect("new-sample", handler)
        pipeline.add(chain)
        chain.sync_state_with_parent()
        pad.link(chain.get_static_pad("sink"))


def watch(server, room):
    pipeline, screen = Gst.Pipeline.new("watcher"), Screen()
    element = Gst.ElementFactory.make("webrtcbin", "peer")
    element.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
    pipeline.add(element)
    receive = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
    for caps in (OPUS, VP8):
        element.emit("add-transceiver", receive, Gst.Caps.from_string(caps))
    element.connect("pad-added", lambda _, pad: screen.show(pipeline, pad))
    peer = Peer(server, pipeline, element)
    pipeline.set_state(Gst.State.PLAYING)
    peer.connect(f"/whep/{room}", receive)
    return peer, screen


def main():
    server, room = sys.argv[1].rstrip("/"), sys.argv[2]
    Gst.init(None)
    publisher = publish(server, room)
    print("ok  GStreamer publishes by WHIP")
    watcher, screen = watch(server, room)
    print("ok  GStreamer is connected by WHEP")
    # The publisher sends a keyframe when it is asked for, and else every 200 s.
    watcher.wait("a picture", lambda: screen.pictures > 0)
    red, green, blue = screen.colour
    if not (red > 180 and green < 70 and blue < 70):
        raise Failed(f"expected a red picture, got {screen.colour}")
    print(f"ok  the picture is red: {screen.colour}")
    watcher.wait("thirty pictures", lambda: screen.pictures >= 30)
    watcher.wait("a second of sound", lambda: screen.sounds >= 50)
    if screen.loudest < 3000:
        raise Failed(f"expected a tone, the loudest sample is {screen.loudest}")
    print(f"ok  pictures and sound go on: {screen.pictures} pictures, the loudest sample is {screen.loudest}")
    watcher.end()
    publisher.end()
    print("ok  both sessions have been ended by DELETE")


if __name__ == "__main__":
    try:
        main()
    except Failed as why:
        print(f"whip: {why}", file=sys.stderr)
        sys.stderr.flush()
        sys.exit(1)
