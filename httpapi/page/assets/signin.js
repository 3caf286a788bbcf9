// Signing in: at the identity provider where there is one, or with a token. Either is
// kept for this tab.

import { h, problemBox } from './dom.js';
import { Problem, session } from './api.js';
import { begin, provider } from './oidc.js';

export const title = 'Sign in';

export async function show(box, { problem, signedIn }) {
  const input = h('input', { id: 'token', type: 'password', autocomplete: 'off', spellcheck: 'false', required: true, 'aria-describedby': 'token-help' });
  const enter = (event) => {
    event.preventDefault();
    session.token = input.value.trim().replace(/^Bearer\s+/i, '');
    signedIn();
  };
  const notes = h('div', {}, problem && problemBox(problem));
  const other = h('div', {});
  box.replaceChildren(h('div', { class: 'narrow' }, h('h1', {}, 'Sign in'), notes, other,
    h('form', { class: 'card', onsubmit: enter },
      h('label', { for: 'token' }, 'Token'), input,
      h('p', { id: 'token-help', class: 'faint' }, 'The one that you use in Python as LARDER_TOKEN. It is kept for this tab only, and is gone when you close it.'),
      h('p', { class: 'buttons' }, h('button', { class: 'main' }, 'Sign in')))));
  input.focus();
  const told = await provider();
  if (!told) return;
  const go = async () => {
    try {
      await begin(told);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      notes.replaceChildren(problemBox(error));
    }
  };
  other.replaceChildren(h('section', { class: 'card' }, h('p', {}, `People of your organisation sign in at ${new URL(told.issuer).host}.`),
    h('p', { class: 'buttons' }, h('button', { type: 'button', class: 'main', onclick: go }, 'Sign in there'))));
}
