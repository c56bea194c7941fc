// The box to answer from: texts, buttons, media, reactions and choices in WhatsApp, as a person would send them.
const form = document.getElementById("answer");
const said = document.getElementById("said");
const fields = form?.elements;
let quoted = null;

function quote(message) {
  quoted = message;
  const bar = form.querySelector(".quoting");
  bar.hidden = !message;
  bar.querySelector("span").textContent = message ? `Quoting: ${message.dataset.words}` : "";
  if (message && [...(fields.device.options ?? [])].some((one) => one.value === message.dataset.device)) {
    fields.device.value = message.dataset.device;
  }
}

function from() {
  const phone = form.dataset.from;
  const known = { from: phone };
  if (fields.name.value.trim()) known.name = fields.name.value.trim();
  if (fields.shown.value !== "phone") known.user_id = `SIM.${phone.slice(1)}`;
  if (fields.shown.value === "user_id") known.hide_phone = true;
  return known;
}

async function send(message) {
  if (form.dataset.busy) return false;
  if (!fields.device.reportValidity()) return false;
  form.dataset.busy = "yes";
  said.textContent = "";
  try {
    const answer = await fetch("/v1/inbound", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ messages: [{ device: fields.device.value, ...from(), ...message }] }),
    });
    const content = await answer.json();
    if (!answer.ok) throw new Error(content.error.message);
    const [status] = content.answered;
    said.textContent = status >= 200 && status < 300 ? "Acknowledged."
      : status === 0 ? "Nobody listens: the gateway tells it again until somebody acknowledges it."
      : `Answered with ${status}: the gateway tells it again until somebody acknowledges it.`;
    await refresh();
    toEnd();
    return true;
  } catch (problem) {
    said.textContent = `Not sent: ${problem.message}`;
    return false;
  } finally {
    delete form.dataset.busy;
  }
}

async function sendWritten() {
  const kind = fields.kind.value, text = fields.text.value.trim();
  const message = kind === "stop" || kind === "resume" ? { kind: "preference", payload: kind } : { kind };
  if (text && message.kind !== "preference") message.text = text;
  if ((kind === "button" || kind === "list") && fields.payload.value.trim()) message.payload = fields.payload.value.trim();
  if (kind === "document") message.payload = "document.pdf";
  if (quoted) message.answers = quoted.dataset.message;
  if ((kind === "text" || kind === "button" || kind === "list") && !text && !message.payload) {
    said.textContent = "There is nothing to send yet.";
    fields.text.focus();
    return;
  }
  if (!(await send(message))) return;
  fields.text.value = fields.payload.value = "";
  fields.kind.value = "text";
  adapt();
  quote(null);
  fields.text.focus();
}

// Who looks at the conversation reads what has come: the gateway reports it, once for each message.
const read = new Set();
async function reportRead() {
  if (document.hidden) return;
  const unread = [...document.querySelectorAll("[data-unread]")].filter((one) => !read.has(one.dataset.message));
  if (!unread.length) return;
  const messages = unread.map((one) => {
    read.add(one.dataset.message);
    return { device: one.dataset.device, from: form.dataset.from, kind: "read", answers: one.dataset.message };
  });
  try {
    await fetch("/v1/inbound", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ messages, together: true }),
    });
  } catch {
    for (const one of messages) read.delete(one.answers);
  }
}

// Only buttons and lists have a payload; the text grows with what is written.
function adapt() {
  fields.payload.closest("label").hidden = !["button", "list"].includes(fields.kind.value);
  fields.text.style.height = "auto";
  fields.text.style.height = `${Math.min(fields.text.scrollHeight + 2, 160)}px`;
}

if (form) {
  document.addEventListener("fresh", reportRead);
  document.addEventListener("visibilitychange", reportRead);
  reportRead();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    sendWritten();
  });
  form.addEventListener("input", adapt);
  fields.text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      sendWritten();
    }
    if (event.key === "Escape") quote(null);
  });
  form.querySelector(".quoting button").addEventListener("click", () => quote(null));
  form.querySelector(".quick").addEventListener("click", async (event) => {
    const word = event.target.dataset.say;
    if (!word) return;
    const message = quoted ? { text: word, answers: quoted.dataset.message } : { text: word };
    if (await send(message)) quote(null);
  });
  document.getElementById("live").addEventListener("click", (event) => {
    const message = event.target.closest("[data-message]");
    if (!message) return;
    if (event.target.dataset.quote) {
      quote(message);
      fields.text.focus();
    } else if (event.target.dataset.react) {
      fields.device.value = message.dataset.device;
      send({ kind: "reaction", text: event.target.dataset.react, answers: message.dataset.message });
    }
  });
  adapt();
}
