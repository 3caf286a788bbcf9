// Elements of the document. Text that anybody wrote (keys, metadata, messages) gets
// into it here alone, and only as text: no markup is ever made of it.

// h makes an element with attributes, listeners ("onclick") and children.
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

// svg makes an element of a drawing.
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter((c) => c !== undefined && c !== null && c !== false));
  return element;
}

// keyText shows a key: apart from the text around it, whatever directions of writing
// its characters ask for, and able to break anywhere.
export function keyText(key) {
  return h('bdi', { class: 'key' }, key);
}

// redraw replaces what is in a box, and leaves the focus where it was: on the element with
// the same name for those who hear it, or the same link.
export function redraw(box, ...content) {
  const name = (e) => e.getAttribute('aria-label') ?? e.getAttribute('href') ?? e.textContent;
  const focused = box.contains(document.activeElement) ? document.activeElement : null;
  const named = focused && name(focused);
  box.replaceChildren(...content);
  if (focused) [...box.querySelectorAll(focused.tagName)].find((e) => name(e) === named)?.focus({ preventScroll: true });
}

// say tells those who hear the page instead of seeing it.
export function say(text) {
  document.getElementById('said').textContent = text;
}

// copyButton copies a text to the clipboard.
export function copyButton(text, label = 'Copy') {
  const button = h('button', {
    type: 'button', class: 'quiet',
    onclick: async () => {
      const done = await copy(text);
      button.textContent = done ? 'Copied' : 'Select it and press Ctrl-C';
      say(button.textContent);
      setTimeout(() => { button.textContent = label; }, 2000);
    },
  }, label);
  return button;
}

// copy works without TLS too, where a browser gives a page no clipboard.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h('textarea', { class: 'unseen', readonly: true });
    area.value = text;
    (document.querySelector('dialog[open]') ?? document.body).append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

// confirm asks whether to go on.
export function confirm(title, text, action) {
  return new Promise((resolve) => {
    const end = (yes) => { dialog.close(); dialog.remove(); resolve(yes); };
    const dialog = h('dialog', { 'aria-labelledby': 'question' },
      h('h2', { id: 'question' }, title), text,
      h('p', { class: 'buttons' },
        h('button', { type: 'button', onclick: () => end(false), autofocus: true }, 'Cancel'),
        h('button', { type: 'button', class: 'danger', onclick: () => end(true) }, action)));
    dialog.addEventListener('cancel', () => end(false));
    document.body.append(dialog);
    dialog.showModal();
  });
}

// problemBox shows what went wrong, in the words of the node.
export function problemBox(problem, again) {
  return h('div', { class: 'problem', role: 'alert' },
    h('h2', {}, problem.title), h('p', {}, problem.detail),
    problem.request && h('p', { class: 'faint' }, 'An operator finds it in the logs as ', h('code', {}, problem.request)),
    again && h('button', { type: 'button', onclick: again }, 'Try again'));
}
