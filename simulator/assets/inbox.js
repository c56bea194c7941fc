// Keeps the page current without losing the reader's place: what is marked data-live is replaced when it changed.
const EVERY = 2000;
const atEnd = () => innerHeight + scrollY >= document.documentElement.scrollHeight - 80;
const toEnd = () => scrollTo(0, document.documentElement.scrollHeight);

async function refresh() {
  if (document.hidden) return;
  const answer = await fetch(location.href, { cache: "no-store" });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const follow = document.body.classList.contains("latest") && atEnd();
  for (const now of document.querySelectorAll("[data-live]")) {
    const then = fresh.getElementById(now.id);
    if (!then || then.innerHTML === now.innerHTML) continue;
    const focused = now.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    now.innerHTML = then.innerHTML;
    if (focused) now.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }
  if (follow) toEnd();
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
