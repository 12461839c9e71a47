// What a page asks of the server in one frame, and the server decides: most of it is the host's.
import type { Permissions, Source } from "./generated";
import type { Request } from "./session";

export abstract class Asks {
  /** Resolves when the server has said yes. */
  protected abstract ask(frame: Request): Promise<void>;

  rename(name: string): Promise<void> {
    return this.ask({ type: "rename", name });
  }
  accept(participant: string): Promise<void> {
    return this.ask({ type: "accept", participant });
  }
  decline(participant: string): Promise<void> {
    return this.ask({ type: "decline", participant });
  }
  lock(locked: boolean): Promise<void> {
    return this.ask({ type: "lock", locked });
  }
  remove(participant: string): Promise<void> {
    return this.ask({ type: "remove", participant });
  }
  handOver(participant: string): Promise<void> {
    return this.ask({ type: "hand_over", to: participant });
  }
  end(): Promise<void> {
    return this.ask({ type: "end" });
  }
  mute(participant: string, source: Source): Promise<void> {
    return this.ask({ type: "mute", participant, source });
  }
  raiseHand(raised: boolean): Promise<void> {
    return this.ask({ type: "hand", raised });
  }
  lowerHand(participant: string): Promise<void> {
    return this.ask({ type: "lower_hand", participant });
  }
  forward(always: boolean): Promise<void> {
    return this.ask({ type: "topology", sfu: always });
  }
  permit(participant: string, may: Permissions): Promise<void> {
    return this.ask({ type: "permit", participant, may });
  }
  newcomers(watchOnly: boolean): Promise<void> {
    return this.ask({ type: "newcomers", watch_only: watchOnly });
  }
  openBreakouts(rooms: number, assign: boolean): Promise<void> {
    return this.ask({ type: "breakout_open", rooms, assign });
  }
  closeBreakouts(): Promise<void> {
    return this.ask({ type: "breakout_close" });
  }
}
