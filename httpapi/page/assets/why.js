// Why there is nothing under a key: the nearest keys, and how they differ.

import { h, keyText, problemBox } from './dom.js';
import { Problem, askJSON, objectPath } from './api.js';
import { ago } from './format.js';
import { objectRoute } from './route.js';

export async function why(service, key, signal) {
  const box = h('div', { class: 'why' }, h('h2', {}, 'There is nothing under this key'));
  try {
    const answer = await askJSON(objectPath(service, key, 'why/'), { signal });
    box.append(h('p', {}, answer.text));
    if (answer.nearest.length > 0) box.append(h('ol', { class: 'nearest' }, answer.nearest.map((near) => nearest(near))));
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    box.append(problemBox(problem));
  }
  return box;
}

function nearest(near) {
  return h('li', { class: 'card' },
    h('h3', {}, h('a', { href: objectRoute(near.service, near.key) }, keyText(near.key))),
    h('p', { class: 'faint' }, near.writer && [h('bdi', {}, near.writer), ', '], ago(near.modified)),
    h('div', { class: 'scroll' }, h('table', {},
      h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'What differs'), h('th', { scope: 'col' }, 'Asked for'), h('th', { scope: 'col' }, 'Is there'))),
      h('tbody', {}, near.differs.map((d) => h('tr', {},
        h('th', { scope: 'row' }, kinds[d.kind] ?? d.kind, d.name && [' ', h('bdi', {}, d.name)]), value(d.asked), value(d.there)))))));
}

function value(text) {
  if (text === null || text === undefined) return h('td', { class: 'faint' }, 'not known');
  return h('td', {}, h('code', { class: 'key' }, h('bdi', {}, text || '""')));
}

const kinds = {
  date: 'Date', date_form: 'Form of the date', hash: 'Hash of settings', name: 'Name', case: 'Capitals in the name', space: 'Spaces in the name', unicode: 'Form of Unicode',
  setting: 'Setting', argument: 'Argument', library: 'Library', python: 'Python', code: 'Code', service: 'Service', escaped: 'Escapes', slash: 'Slashes',
};
