// Strategies as tables: for each name its dates down and its hashes across.

import { h, keyText } from './dom.js';
import { ago, bytes, number, shortDate, when } from './format.js';
import { findRoute, objectRoute } from './route.js';

const names = 30; // tables that are shown
const dates = 60; // rows of one
const hashes = 10; // columns of one

// group collects entries by what f says of each, in the order in which they come.
function group(entries, f) {
  const groups = new Map();
  for (const entry of entries) {
    const of = f(entry);
    if (!groups.has(of)) groups.set(of, []);
    groups.get(of).push(entry);
  }
  return groups;
}

export function matrix(entries) {
  const byName = group(entries, (e) => e.name);
  // The hash that was written last comes first, in the same order for all names.
  const order = new Map([...group(entries, (e) => e.env_hash)].sort(([, a], [, b]) => newest(b) - newest(a)).map(([hash], i) => [hash, i]));
  const tables = [...byName].slice(0, names).map(([name, all]) => one(name, all, order));
  const left = byName.size - names;
  return left > 0 ? [...tables, h('p', { class: 'count' }, `${number(left)} more names. Type more of the name to see them.`)] : tables;
}

function one(name, entries, order) {
  const byDate = [...group(entries, (e) => e.env_date)].sort(([a], [b]) => (a < b ? 1 : -1));
  const byHash = [...group(entries, (e) => e.env_hash)].sort(([a], [b]) => order.get(a) - order.get(b));
  const shown = byHash.slice(0, hashes);
  const cell = (all, hash) => {
    const entry = all.find((e) => e.env_hash === hash);
    if (!entry) return h('td', { class: 'faint' }, '–');
    return h('td', {}, h('a', { href: objectRoute('strategies', entry.key), title: when(entry.modified) }, bytes(entry.size)),
      h('span', { class: 'faint' }, ` ${ago(entry.modified)}`));
  };
  const cut = [byDate.length > dates && `the latest ${dates} of ${number(byDate.length)} dates`, byHash.length > hashes && `${hashes} of ${number(byHash.length)} hashes`].filter(Boolean);
  return h('section', { class: 'card' },
    h('h2', {}, h('a', { href: findRoute({ service: 'strategies', name, view: 'table' }) }, keyText(name))),
    cut.length > 0 && h('p', { class: 'faint' }, `These are ${cut.join(', and ')}.`),
    h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': `Dates and hashes of ${name}` },
      h('table', { class: 'matrix' },
        h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'Date'),
          shown.map(([hash]) => h('th', { scope: 'col' }, h('code', { title: hash }, hash.slice(0, 8)))))),
        h('tbody', {}, byDate.slice(0, dates).map(([date, all]) => h('tr', {},
          h('th', { scope: 'row', title: date }, shortDate(date)), shown.map(([hash]) => cell(all, hash))))))));
}

function newest(entries) {
  return Math.max(...entries.map((e) => new Date(e.modified).getTime()));
}
