// Runs before the first paint: a chosen theme or language must not flash the other one.
(() => {
  try {
    const root = document.documentElement;
    const theme = localStorage.getItem("tandem.theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    const language = localStorage.getItem("tandem.language");
    if (language === "en" || language === "de") root.lang = language;
  } catch {
    // No storage: the system's theme and the browser's language.
  }
})();
