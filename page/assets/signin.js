// Signing in with a token, which is kept for this tab.

import { h, problemBox } from './dom.js';
import { session } from './api.js';

export const title = 'Sign in';

export function show(box, { problem, signedIn }) {
  const input = h('input', { id: 'token', type: 'password', autocomplete: 'off', spellcheck: 'false', required: true, 'aria-describedby': 'token-help' });
  const enter = (event) => {
    event.preventDefault();
    session.token = input.value.trim().replace(/^Bearer\s+/i, '');
    signedIn();
  };
  box.replaceChildren(h('div', { class: 'narrow' },
    h('h1', {}, 'Sign in'),
    problem && problemBox(problem),
    h('form', { class: 'card', onsubmit: enter },
      h('label', { for: 'token' }, 'Token'), input,
      h('p', { id: 'token-help', class: 'faint' }, 'The one that you use in Python as LARDER_TOKEN. It is kept for this tab only, and is gone when you close it.'),
      h('p', { class: 'buttons' }, h('button', { class: 'main' }, 'Sign in')))));
  input.focus();
}
