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

const form = document.getElementById("answer");
form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  if (button.disabled) return;
  button.disabled = true;
  const said = document.getElementById("said");
  const message = { device: form.elements.device.value, from: form.dataset.from, text: form.elements.text.value };
  try {
    const answer = await fetch("/v1/inbound", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ messages: [message] }),
    });
    const content = await answer.json();
    if (!answer.ok) throw new Error(content.error.message);
    form.elements.text.value = "";
    const [status] = content.answered;
    said.textContent = status >= 200 && status < 300 ? ""
      : status === 0 ? "Nobody listens: the gateway tells it again until somebody acknowledges it."
      : `Answered with ${status}: the gateway tells it again until somebody acknowledges it.`;
    await refresh();
    toEnd();
  } catch (problem) {
    said.textContent = `Not sent: ${problem.message}`;
  } finally {
    button.disabled = false;
  }
});
