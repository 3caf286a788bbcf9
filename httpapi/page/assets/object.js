// One object: who wrote it, when, how long it took, with what; and ways to use it
// elsewhere. Its bytes are never run, only shown where that is safe.

import { confirm, copyButton, h, keyText, problemBox, say } from './dom.js';
import { Problem, ask, askJSON, objectPath, session } from './api.js';
import { ago, bytes, hours, money, number, plural, shortDate, span, when } from './format.js';
import { findRoute, objectRoute } from './route.js';
import { pairs } from './filter.js';
import { preview } from './preview.js';
import { curl, python } from './snippets.js';
import { why } from './why.js';

export const title = 'Object';

export async function show(box, { service, key }, signal) {
  if (!['objects', 'strategies'].includes(service) || !key) {
    box.replaceChildren(h('h1', {}, 'No such address'), h('p', {}, h('a', { href: '#/find' }, 'Find an object')));
    return;
  }
  document.title = `${key} – Larder`;
  const heading = [crumbs(service, key), h('h1', { class: 'keyline' }, keyText(key))];
  box.replaceChildren(...heading, h('p', { class: 'faint' }, 'Asking the node …'));
  let answer;
  try {
    answer = await ask(objectPath(service, key), { method: 'HEAD', signal });
  } catch (problem) {
    if (problem.status !== 404 && problem.status !== 400) throw problem;
    box.replaceChildren(...heading, await why(service, key, signal));
    return;
  }
  const about = infoOf(answer.headers);
  box.replaceChildren(...heading, actions(service, key, about),
    h('div', { class: 'columns' }, h('div', {}, facts(about), life(service, key, signal), use(service, key)), h('div', {}, made(about), preview(service, key, about, signal))));
}

function crumbs(service, key) {
  const parts = service === 'strategies' ? key.match(/^(.*)\|([^|]*)\|\|([0-9a-f]+)$/s) : null;
  return h('p', { class: 'crumbs' },
    h('a', { href: findRoute({ service }) }, service === 'strategies' ? 'Strategies' : 'Objects'),
    parts && [' › ', h('a', { href: findRoute({ service, name: parts[1], view: 'table' }) }, keyText(parts[1])),
      ' › ', h('a', { href: findRoute({ service, name: parts[1], env_date: parts[2] }) }, shortDate(parts[2]))]);
}

// infoOf reads what the headers of an answer say of an object.
function infoOf(headers) {
  const meta = {};
  for (const [name, value] of headers) {
    if (name.startsWith('larder-meta-')) meta[name.slice('larder-meta-'.length)] = value;
  }
  const digest = headers.get('Repr-Digest')?.match(/sha-256=:([^:]*):/)?.[1];
  return {
    meta, etag: headers.get('ETag') ?? '', size: Number(headers.get('Content-Length')), type: headers.get('Content-Type') ?? '',
    modified: headers.get('Last-Modified'), expires: headers.get('Expires'), writer: headers.get('Larder-Writer') ?? '',
    digest: digest ? hex(digest) : '',
  };
}

function hex(base64) {
  try {
    return [...atob(base64)].map((c) => c.charCodeAt(0).toString(16).padStart(2, '0')).join('');
  } catch {
    return '';
  }
}

function facts(about) {
  return card('About', rowsOf([
    ['Written', about.modified ? h('time', { datetime: new Date(about.modified).toISOString() }, `${when(about.modified)} (${ago(about.modified)})`) : 'a moment ago'],
    ['By', about.writer && h('bdi', {}, about.writer)],
    ['Size', `${bytes(about.size)}${about.size >= 1024 ? ` (${about.size} bytes)` : ''}`],
    ['Type', about.type && h('bdi', {}, about.type)],
    ['Expires', about.expires && `${when(about.expires)} (${ago(about.expires)})`],
    ['Version', about.etag && h('code', {}, about.etag.replaceAll('"', ''))],
    ['SHA-256', about.digest && h('code', { class: 'key' }, about.digest)],
  ]));
}

// life is a card that is filled when the nodes have said where the object is, and what
// reads saved.
function life(service, key, signal) {
  const body = h('div', {}, h('p', { class: 'faint' }, 'Asking all nodes …'));
  const look = async () => {
    try {
      const { nodes, chunks, saved } = await askJSON(objectPath(service, key, 'about/'), { signal });
      body.replaceChildren(rowsOf([['Read', saved && reads(saved, key)], ['In memory', on(nodes, chunks, 'memory')], ['On disk', on(nodes, chunks, 'disk')],
        ['No answer', nodes.filter((n) => !n.answers).map(nameOf).join(', ')]]));
    } catch (problem) {
      if (signal.aborted) return;
      if (!(problem instanceof Problem)) throw problem;
      body.replaceChildren(problemBox(problem));
    }
  };
  look();
  return h('section', { class: 'card', id: 'life' }, h('h2', {}, 'Reads and caches'), body);
}

// reads says what the ledger counts, which is by name and not by date and hash, and only of
// what says how long it took to build.
function reads(saved, key) {
  if (saved.hits === 0) return h('span', { class: 'faint' }, 'No read is counted. A read counts if the object says how long it took to build, and shows here a minute later.');
  const what = saved.name !== key && [', all dates and hashes of ', h('bdi', { class: 'key' }, saved.name), ' together'];
  return [plural(saved.hits, 'time'), what, `; saved ${hours(saved.seconds)}`, saved.cost !== null && `, ${money(saved.cost)} in money`];
}

// nameOf is the name of a node, which only those are told who may see the cluster.
const nameOf = (n) => n.node ?? 'a node';

// on tells the nodes that have chunks of an object somewhere.
function on(nodes, chunks, where) {
  const have = nodes.filter((n) => n.answers && n[where] > 0);
  if (have.length === 0) return h('span', { class: 'faint' }, chunks === 0 ? 'It has no bytes' : where === 'memory' ? 'Nowhere: the next read asks S3, or a disk' : 'Nowhere');
  return have.map((n, i) => [i > 0 && ', ', h('bdi', {}, nameOf(n)), h('span', { class: 'faint' },
    [n.owner && ' (owner)', n[where] < chunks && ` ${number(n[where])} of ${plural(chunks, 'chunk')}`])]);
}

// made is what the Python client states of what it stores, and other metadata.
function made(about) {
  const { format, python: version, libraries, 'build-seconds': seconds, 'env-hash': envHash, settings, function: name, code, digest, ...others } = about.meta;
  const stated = settingsOf(settings);
  const known = rowsOf([
    ['Built in', seconds && Number.isFinite(Number(seconds)) && span(Number(seconds))],
    ['Format', format],
    ['Python', version],
    ['Libraries', libraries && h('ul', { class: 'tags' }, pairs(libraries).map(([n, v]) => h('li', {}, h('bdi', {}, `${n} ${v}`))))],
    ['Function', name && h('code', {}, h('bdi', {}, name))],
    ['Code', code && h('code', {}, h('bdi', {}, code))],
    ['Hash of settings', envHash && h('code', { class: 'key' }, h('bdi', {}, envHash))],
    ...Object.entries(others).sort().map(([n, v]) => [h('bdi', {}, n), h('bdi', { class: 'key' }, v)]),
  ]);
  if (!known && !stated) return '';
  return [known && card('Made', known), stated && card('Settings', rowsOf(stated))];
}

function settingsOf(text) {
  if (!text) return null;
  try {
    return Object.entries(JSON.parse(text)).map(([name, value]) => [h('bdi', {}, name), h('code', { class: 'key' }, h('bdi', {}, String(value)))]);
  } catch {
    return null;
  }
}

function use(service, key) {
  const snippet = (name, text) => h('div', { class: 'snippet' },
    h('div', { class: 'snippethead' }, h('h3', {}, name), copyButton(text, `Copy as ${name}`)),
    h('pre', { tabindex: 0, 'aria-label': name }, h('code', {}, text)));
  return card('Use', h('div', {}, snippet('Python', python(location.origin, service, key)), snippet('curl', curl(location.origin, service, key, session.token !== ''))));
}

function actions(service, key, about) {
  if (!session.may('writer')) return '';
  const remove = async () => {
    const text = h('div', {}, h('p', {}, keyText(key)),
      h('p', {}, `${bytes(about.size)}${about.writer ? `, written by ${about.writer}` : ''}. Nobody can get it afterwards, and whoever needs it builds it again.`));
    if (!await confirm('Remove this object?', text, 'Remove')) return;
    const note = document.getElementById('removed');
    try {
      // Only what is shown here: what was written since stays.
      await ask(objectPath(service, key), { method: 'DELETE', headers: about.etag ? { 'If-Match': about.etag } : {} });
    } catch (problem) {
      note.replaceChildren(problemBox(problem));
      return;
    }
    say('Removed');
    const box = document.getElementById('view');
    box.replaceChildren(h('h1', { tabindex: -1 }, 'Removed'), h('p', {}, keyText(key)),
      h('p', {}, h('a', { href: findRoute({ service }) }, 'Back to Find'), ' · ', h('a', { href: objectRoute(service, key) + '?' }, 'Look again')));
    box.querySelector('h1').focus();
  };
  return h('div', { class: 'actions' }, h('button', { type: 'button', class: 'danger', onclick: remove }, 'Remove …'), h('div', { id: 'removed' }));
}

export function card(name, ...content) {
  return h('section', { class: 'card' }, h('h2', {}, name), content);
}

// rowsOf is a list of names and values, less those that are not known; nothing if none is.
export function rowsOf(rows) {
  const known = rows.filter(([, value]) => value !== '' && value !== undefined && value !== null && value !== false);
  return known.length > 0 && h('dl', {}, known.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))));
}
