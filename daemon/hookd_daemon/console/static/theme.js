// Runs before the page is drawn, so that it does not change its colours then.
"use strict";
try {
  const chosen = localStorage.getItem("hookd-theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is turned off: the system's colours it is.
}
document.documentElement.classList.add("script");
