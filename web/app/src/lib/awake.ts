// The screen stays on during a call, where the browser can.

/** Returns the function that lets it sleep again. */
export function keepAwake(): () => void {
  let lock: WakeLockSentinel | null = null;
  let over = false;

  async function request(): Promise<void> {
    if (!("wakeLock" in navigator) || document.visibilityState !== "visible") return;
    try {
      const given = await navigator.wakeLock.request("screen");
      if (over) await given.release();
      else lock = given;
    } catch {
      // Battery low or not allowed: the screen may sleep, the call goes on.
    }
  }

  const again = (): void => void request();
  document.addEventListener("visibilitychange", again);
  again();
  return () => {
    over = true;
    document.removeEventListener("visibilitychange", again);
    lock?.release().catch(() => undefined);
  };
}
