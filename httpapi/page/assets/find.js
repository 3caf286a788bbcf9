// Finding objects: by the beginning of their key as one types, and by what is known of
// them. The node lists in the order of keys; for another order, and for what it cannot
// filter, the page looks through a bounded number of keys and says how many.

import { h, keyText, problemBox, say } from './dom.js';
import { Problem, list } from './api.js';
import { ago, bytes, number, plural, shortDate, span, when } from './format.js';
import { findRoute, objectRoute } from './route.js';
import { matrix } from './matrix.js';
import { ages, fits, needsLook, sizes, sorted } from './filter.js';

export const title = 'Find';

const rows = 100; // of a page
const most = 5000; // keys that are looked through for another order
const pause = 80; // ms after the last key press

export async function show(box, route, signal) {
  const query = { service: 'objects', ...route.query };
  const state = { query, before: [], results: h('div', { id: 'results' }), signal };
  state.search = () => search(state);
  box.replaceChildren(h('h1', { class: 'unseen' }, 'Find'), form(state), state.results);
  document.getElementById('prefix').focus();
  await state.search();
}

// form is what one asks by.
function form(state) {
  const { query } = state;
  const set = (name, value, wait = pause) => {
    query[name] = value;
    delete query.cursor;
    state.before = [];
    clearTimeout(state.timer);
    state.timer = setTimeout(state.search, wait);
  };
  const field = (name, label, attributes = {}) => h('div', { class: 'field' },
    h('label', { for: name }, label),
    h('input', { id: name, type: 'search', value: query[name] ?? '', spellcheck: 'false', autocomplete: 'off', oninput: (e) => set(name, e.target.value.trim()), ...attributes }));
  const choice = (name, label, options) => h('div', { class: 'field' },
    h('label', { for: name }, label),
    h('select', { id: name, onchange: (e) => set(name, e.target.value, 0) },
      options.map(([value, text]) => h('option', { value, selected: (query[name] ?? '') === value }, text))));
  const chosen = (name, values) => h('fieldset', { class: 'choice' }, h('legend', { class: 'unseen' }, name),
    values.map(([value, text]) => h('label', {},
      h('input', { type: 'radio', name, value, checked: query[name] === value || (!query[name] && value === ''), onchange: () => change(name, value) }), h('span', {}, text))));
  const change = (name, value) => {
    query[name] = value;
    if (name === 'service') for (const other of ['name', 'env_date', 'env_hash', 'view', 'sort', 'cursor']) delete query[other];
    location.hash = findRoute(query);
  };
  const strategies = query.service === 'strategies';
  const more = ['name', 'env_date', 'env_hash', 'writer', 'library', 'age', 'size'];
  return h('form', { role: 'search', class: 'search', onsubmit: (e) => { e.preventDefault(); set('cursor', undefined, 0); } },
    h('div', { class: 'searchline' },
      chosen('service', [['objects', 'Objects'], ['strategies', 'Strategies']]),
      h('div', { class: 'grow' },
        h('label', { for: 'prefix', class: 'unseen' }, 'The key begins with'),
        h('input', {
          id: 'prefix', type: 'search', value: query.prefix ?? '', placeholder: 'The key begins with …   ( / )', spellcheck: 'false', autocomplete: 'off',
          oninput: (e) => set('prefix', e.target.value),
        })),
      strategies && chosen('view', [['', 'List'], ['table', 'Table']])),
    h('details', { open: more.some((name) => query[name]) },
      h('summary', {}, 'Filters'),
      h('div', { class: 'fields' },
        strategies && [
          field('name', 'Name, exactly'),
          field('env_date', 'Date of the environment', { type: 'date' }),
          field('env_hash', 'Hash of the environment'),
        ],
        field('writer', 'Written by'), field('library', 'Made with', { placeholder: 'pandas, or pandas=2.2' }),
        choice('age', 'Written', ages), choice('size', 'Size', sizes))));
}

// search shows what there is. A search that another one overtakes ends.
async function search(state) {
  clearTimeout(state.timer);
  state.running?.abort();
  state.running = new AbortController();
  const signal = AbortSignal.any([state.signal, state.running.signal]);
  const query = state.query;
  history.replaceState(null, '', findRoute(query));
  try {
    const found = await look(query, signal, (n) => say(`${number(n)} keys looked through`));
    if (!signal.aborted) present(state, found);
  } catch (problem) {
    if (signal.aborted) return;
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status !== 401) state.results.replaceChildren(problemBox(problem, state.search));
  }
}

// look asks for a page, or looks through more where the order or a filter wants it.
async function look(query, signal, progress) {
  const asked = { prefix: query.prefix, name: query.name, env_date: query.env_date, env_hash: query.env_hash };
  const table = query.view === 'table' && query.service === 'strategies';
  if (!needsLook(query) && !table) {
    const page = await list(query.service, { ...asked, limit: rows, cursor: query.cursor }, { signal });
    return { keys: page.keys, cursor: page.cursor, seen: page.keys.length, whole: !page.cursor && !query.cursor };
  }
  let cursor, seen = 0, told = false;
  const keys = [];
  do {
    const page = await list(query.service, { ...asked, limit: 1000, cursor }, { signal });
    seen += page.keys.length;
    told ||= page.keys.some((entry) => 'writer' in entry);
    keys.push(...page.keys.filter((entry) => fits(entry, query)));
    cursor = page.cursor;
    progress(seen);
  } while (cursor && seen < most && !signal.aborted);
  return { keys: sorted(keys, query.sort), seen, whole: !cursor, looked: true, untold: (query.writer || query.library) && !told };
}

function present(state, found) {
  const { query, results } = state;
  if (found.keys.length === 0 && !(found.cursor && !found.looked)) {
    results.replaceChildren(nothing(query, found));
    say('Nothing found');
    return;
  }
  const head = count(query, found);
  say(head);
  if (query.view === 'table' && query.service === 'strategies') {
    results.replaceChildren(h('p', { class: 'count' }, head), ...matrix(found.keys));
    return;
  }
  const shown = found.looked ? page(state, found) : found.keys;
  results.replaceChildren(h('p', { class: 'count' }, head), table(state, shown), pager(state, found));
}

// count says how much was found, and of how much.
function count(query, found) {
  const n = plural(found.keys.length, 'key');
  if (!found.looked) return found.whole ? n : `${n} on this page`;
  if (found.whole) return found.seen === found.keys.length ? n : `${n} of ${number(found.seen)}`;
  return `${n} among the first ${number(found.seen)}. Type more of the key to look through all of what begins so`;
}

function nothing(query, found) {
  const key = query.prefix ?? '';
  const filtered = needsLook(query) || query.name || query.env_date || query.env_hash;
  return h('div', { class: 'empty' },
    h('h2', {}, key || filtered ? 'Nothing found' : `There are no ${query.service} yet`),
    key && !filtered && [h('p', {}, 'No key begins with ', keyText(key), '.'),
      h('p', {}, h('a', { class: 'button', href: objectRoute(query.service, key) }, 'Why is it missing?'))],
    filtered && h('p', {}, found.untold ? 'The listings of this node do not tell who wrote an object, and with what.' : found.whole ? 'No key passes these filters.' : `None of the first ${number(found.seen)} keys passes these filters. Type the beginning of the key to look further.`),
    !key && !filtered && h('p', {}, 'Put something in: ', h('code', {}, `curl -T FILE ${location.origin}/v1/${query.service}/KEY`)));
}

// page is the rows of what was looked through that are shown now.
function page(state, found) {
  const first = Number(state.query.page ?? 0) * rows;
  return found.keys.slice(first, first + rows);
}

function pager(state, found) {
  const { query } = state;
  const at = Number(query.page ?? 0);
  const turn = (change) => () => { change(); state.search().then(() => state.results.scrollIntoView({ block: 'start' })); };
  let back, on;
  if (found.looked) {
    back = at > 0 && turn(() => { query.page = at - 1 || ''; });
    on = (at + 1) * rows < found.keys.length && turn(() => { query.page = at + 1; });
  } else {
    back = query.cursor && turn(() => { query.cursor = state.before.pop() ?? ''; });
    on = found.cursor && turn(() => { state.before.push(query.cursor ?? ''); query.cursor = found.cursor; });
  }
  if (!back && !on) return '';
  return h('nav', { class: 'pager', 'aria-label': 'Pages' },
    h('button', { type: 'button', disabled: !back, onclick: back || undefined }, 'Previous'),
    h('button', { type: 'button', disabled: !on, onclick: on || undefined }, 'Next'));
}

// columns are a title, what to sort by, and the cell of a key.
function columns(query, keys) {
  const link = (entry, text) => h('a', { href: objectRoute(query.service, entry.key) }, text);
  const known = (field) => keys.some((entry) => entry[field] !== undefined && entry[field] !== null);
  return [
    ...(query.service === 'strategies' ? [
      ['Name', 'key', (e) => link(e, keyText(e.name))],
      ['Date', 'env_date', (e) => h('span', { class: 'date', title: e.env_date }, shortDate(e.env_date))],
      ['Hash', 'env_hash', (e) => h('code', { title: e.env_hash }, e.env_hash.slice(0, 8))],
    ] : [['Key', 'key', (e) => link(e, keyText(e.key))]]),
    ['Size', 'size', (e) => bytes(e.size), 'number'],
    ['Written', 'modified', (e) => h('time', { datetime: e.modified, title: when(e.modified) }, ago(e.modified))],
    known('writer') && ['By', 'writer', (e) => h('bdi', {}, e.writer ?? ''), 'wide'],
    known('build_seconds') && ['Built in', 'build_seconds', (e) => span(e.build_seconds), 'number wide'],
    known('python') && ['Python', 'python', (e) => h('bdi', {}, e.python ?? ''), 'wide'],
    known('expires') && ['Expires', 'expires', (e) => (e.expires ? h('time', { datetime: e.expires, title: when(e.expires) }, ago(e.expires)) : ''), 'wide'],
  ].filter(Boolean);
}

function table(state, keys) {
  const { query } = state;
  const all = columns(query, keys);
  const order = query.sort || 'key';
  const by = (name) => () => {
    const next = order === name ? `-${name}` : name;
    query.sort = next === 'key' ? '' : next;
    delete query.cursor;
    delete query.page;
    state.before = [];
    state.search().then(() => document.getElementById(`by-${name}`)?.focus());
  };
  const heading = ([text, name, , kind]) => h('th', {
    scope: 'col', class: kind, 'aria-sort': order === name ? 'ascending' : order === `-${name}` ? 'descending' : null,
  }, h('button', { type: 'button', class: 'sort', id: `by-${name}`, onclick: by(name) }, text));
  return h('div', { class: 'scroll card', tabindex: 0, role: 'region', 'aria-label': 'Keys' },
    h('table', {},
      h('thead', {}, h('tr', {}, all.map(heading))),
      h('tbody', {}, keys.map((entry) => h('tr', {}, all.map(([, , cell, kind]) => h('td', { class: kind }, cell(entry))))))));
}
