// Keeps the page current without losing the reader's place: what is marked data-live is replaced when it changed.
const EVERY = 2000;
const atEnd = () => innerHeight + scrollY >= document.documentElement.scrollHeight - 80;
const toEnd = () => scrollTo(0, document.documentElement.scrollHeight);

// What the focused link or button is found by in the new content.
function focusIn(part) {
  const focused = document.activeElement;
  if (!part.contains(focused)) return null;
  if (focused.matches("a[href]")) return `a[href="${CSS.escape(focused.getAttribute("href"))}"]`;
  const message = focused.closest("[data-message]")?.dataset.message;
  if (!message) return null;
  const own = focused.dataset.react ? `[data-react="${focused.dataset.react}"]` : "[data-quote]";
  return `[data-message="${CSS.escape(message)}"] ${own}`;
}

async function refresh() {
  if (document.hidden) return;
  const answer = await fetch(location.href, { cache: "no-store" });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const follow = document.body.classList.contains("latest") && atEnd();
  for (const now of document.querySelectorAll("[data-live]")) {
    const then = fresh.getElementById(now.id);
    if (!then || then.innerHTML === now.innerHTML) continue;
    const focused = focusIn(now);
    now.innerHTML = then.innerHTML;
    if (focused) now.querySelector(focused)?.focus({ preventScroll: true });
  }
  if (follow) toEnd();
  document.dispatchEvent(new Event("fresh"));
}

async function keepCurrent() {
  try {
    await refresh();
  } catch {
    // The gateway is offline or restarting: the page stays as it is until it is back.
  }
  setTimeout(keepCurrent, EVERY);
}

if (document.body.classList.contains("latest")) toEnd();
setTimeout(keepCurrent, EVERY);
