// Perfect negotiation (WebRTC 1.0 §10.7) for one RTCPeerConnection: both sides may offer at any time; when offers cross,
// the impolite one's wins and the polite one rolls back. Which side is polite is settled by the order of the identities.
import type { Candidate } from "../generated";

export interface NegotiationOutput {
  offer(sdp: string): void;
  answer(sdp: string): void;
  candidate(candidate: Candidate): void;
  /** The remote description was applied for the first time, or again; before an answer is made. */
  described(): void;
  /** A description could not be made or applied. */
  failed(error: unknown): void;
}

export class Negotiation {
  #pc: RTCPeerConnection;
  #polite: boolean;
  #output: NegotiationOutput;
  #makingOffer = false;
  #ignoreOffer = false;
  #answerPending = false;
  #closed = false;
  /** Signals are applied one after the other: a candidate waits for the description before it. */
  #turn: Promise<void> = Promise.resolve();

  constructor(pc: RTCPeerConnection, polite: boolean, output: NegotiationOutput) {
    this.#pc = pc;
    this.#polite = polite;
    this.#output = output;
    pc.onnegotiationneeded = () => void this.#offer();
    pc.onicecandidate = ({ candidate }) => {
      // The end of candidates is not sent: nothing waits for it, and an empty candidate upsets older browsers.
      if (candidate && candidate.candidate !== "") output.candidate(candidateOf(candidate));
    };
  }

  handleOffer(sdp: string): void {
    this.#inTurn(() => this.#onOffer(sdp));
  }

  handleAnswer(sdp: string): void {
    this.#inTurn(() => this.#onAnswer(sdp));
  }

  handleCandidate(candidate: Candidate): void {
    this.#inTurn(() => this.#onCandidate(candidate));
  }

  /** Say again what may have been lost with the server's memory. */
  repeat(): void {
    const local = this.#pc.localDescription;
    if (this.#pc.signalingState === "have-local-offer" && local) this.#output.offer(local.sdp);
  }

  close(): void {
    this.#closed = true;
    this.#pc.onnegotiationneeded = null;
    this.#pc.onicecandidate = null;
  }

  async #offer(): Promise<void> {
    if (this.#closed) return;
    this.#makingOffer = true;
    try {
      await this.#pc.setLocalDescription();
      const local = this.#pc.localDescription;
      if (!this.#closed && local?.type === "offer") this.#output.offer(local.sdp);
    } catch (error) {
      if (!this.#closed) this.#output.failed(error);
    } finally {
      this.#makingOffer = false;
    }
  }

  async #onOffer(sdp: string): Promise<void> {
    const ready = !this.#makingOffer && (this.#pc.signalingState === "stable" || this.#answerPending);
    this.#ignoreOffer = !this.#polite && !ready;
    if (this.#ignoreOffer) return;
    // Implicit rollback of an own offer, where there is one.
    await this.#pc.setRemoteDescription({ type: "offer", sdp });
    if (this.#closed) return;
    this.#output.described();
    await this.#pc.setLocalDescription();
    const local = this.#pc.localDescription;
    if (!this.#closed && local) this.#output.answer(local.sdp);
  }

  async #onAnswer(sdp: string): Promise<void> {
    // An answer to an offer that was rolled back, or one that came twice.
    if (this.#pc.signalingState !== "have-local-offer") return;
    this.#answerPending = true;
    try {
      await this.#pc.setRemoteDescription({ type: "answer", sdp });
    } finally {
      this.#answerPending = false;
    }
    if (!this.#closed) this.#output.described();
  }

  async #onCandidate(candidate: Candidate): Promise<void> {
    if (candidate.candidate === "") return;
    try {
      await this.#pc.addIceCandidate(candidate);
    } catch {
      // Candidates of an offer we ignored have nowhere to go, and one bad candidate does not spoil the others.
    }
  }

  #inTurn(work: () => Promise<void>): void {
    this.#turn = this.#turn.then(async () => {
      if (this.#closed) return;
      try {
        await work();
      } catch (error) {
        if (!this.#closed) this.#output.failed(error);
      }
    });
  }
}

function candidateOf(candidate: RTCIceCandidate): Candidate {
  const { sdpMid, sdpMLineIndex, usernameFragment } = candidate;
  return {
    candidate: candidate.candidate,
    ...(sdpMid === null ? {} : { sdpMid }),
    ...(sdpMLineIndex === null ? {} : { sdpMLineIndex }),
    ...(usernameFragment === null || usernameFragment === undefined ? {} : { usernameFragment }),
  };
}
