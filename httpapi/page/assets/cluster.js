// How the cluster is, for operators: in words first, and then in numbers of each member.
// They are of all organisations together; only the denials are of one's own.

import { h, redraw, say } from './dom.js';
import { Problem, askJSON } from './api.js';
import { ago, bytes, number, percent, plural, span, when } from './format.js';
import { card } from './object.js';

export const title = 'Cluster';

const pause = 5000; // ms between two looks

export async function show(box, route, signal) {
  let told = '';
  box.replaceChildren(h('h1', {}, 'Cluster'), h('p', { class: 'faint' }, 'Asking all members …'));
  for (let first = true; !signal.aborted; first = false) {
    if (first || !document.hidden) {
      try {
        const report = await askJSON('/v1/cluster', { signal });
        if (signal.aborted) return;
        render(box, report);
        const words = report.findings.map((f) => f.text).join(' ');
        if (words !== told && !first) say(words);
        told = words;
      } catch (problem) {
        if (signal.aborted) return;
        if (!(problem instanceof Problem) || first || problem.status === 401) throw problem;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

function render(box, { findings, members, denials, well }) {
  const open = box.querySelector('details')?.open;
  const sum = (name) => members.reduce((n, m) => n + (m.recent?.[name] ?? 0), 0);
  const gauge = (name) => members.reduce((n, m) => n + (m.gauges?.[name] ?? 0), 0);
  const reads = readsOf(sum, members);
  const minutes = span(Math.max(...members.map((m) => m.seconds), 1));
  redraw(box, h('h1', {}, 'Cluster'),
    h('ul', { class: 'findings' }, findings.map((f) => h('li', { class: `finding ${f.level}` }, h('strong', {}, { good: 'Well', warn: 'Look', bad: 'Act' }[f.level]), h('span', {}, f.text)))),
    h('div', { class: 'tiles' },
      tile('Members', number(members.length), well && members.length > 1 ? 'all answer' : plural(members.filter((m) => m.answers).length, 'answers', 'answer')),
      tile('Reads without S3', percent(reads.near, reads.all), `of ${plural(reads.all, 'read')} in ${minutes}`),
      tile('S3', sum('s3_requests') ? `${number(Math.round(1000 * quantile(members, 0.5)))} ms` : '–', `median, ${number(Math.round(1000 * quantile(members, 0.99)))} ms for 99 %; ${plural(sum('s3_errors'), 'error')}`),
      tile('Memory', percent(gauge('memory_own') + gauge('memory_hot'), gauge('memory_limit')), `${bytes(gauge('memory_own') + gauge('memory_hot'))} of ${bytes(gauge('memory_limit'))}`),
      tile('Leases waited out', number(sum('leases_waited')), `in ${minutes}`)),
    card('Members', table(members)),
    card('Reads by where the bytes came from', sources(reads)),
    card('Denied to your organisation', denied(denials)));
  const details = box.querySelector('details');
  if (details) details.open = open ?? false;
}

function tile(name, big, text) {
  return h('section', { class: 'card tile' }, h('h2', {}, name), h('div', { class: 'big' }, big), h('p', { class: 'faint' }, text));
}

const sourceNames = { memory: 'memory of the node that was asked', hot: 'a hot copy there', peer: 'memory of another node', disk: 'disk', s3: 'S3' };

// readsOf sums up reads by source.
function readsOf(sum, members) {
  const names = new Set(members.flatMap((m) => Object.keys(m.recent ?? {})).filter((name) => name.startsWith('reads_')));
  const by = [...names].map((name) => [name.slice('reads_'.length), sum(name)]).sort(([, a], [, b]) => b - a);
  const all = by.reduce((n, [, k]) => n + k, 0);
  return { by, all, near: all - (by.find(([name]) => name === 's3')?.[1] ?? 0) };
}

function sources({ by, all }) {
  if (all === 0) return h('p', { class: 'faint' }, 'Nobody has read anything in the last minutes.');
  return h('dl', {}, by.map(([name, n]) => h('div', {}, h('dt', {}, sourceNames[name] ?? name),
    h('dd', { class: 'bar' }, h('meter', { min: 0, max: all, value: n, 'aria-label': sourceNames[name] ?? name }), h('span', {}, `${percent(n, all)} · ${number(n)}`)))));
}

// quantile estimates, over all members, how long a part of the requests to S3 took at
// most, in seconds.
function quantile(members, part) {
  const total = {};
  let all = 0;
  for (const member of members) {
    const recent = member.recent ?? {}; // of a member that does not answer there is none
    all += recent.s3_requests ?? 0;
    for (const [name, n] of Object.entries(recent)) if (name.startsWith('s3_le_')) total[name.slice('s3_le_'.length)] = (total[name.slice('s3_le_'.length)] ?? 0) + n;
  }
  let before = 0, below = 0;
  for (const [bound, n] of Object.entries(total).map(([k, n]) => [Number(k), n]).sort(([a], [b]) => a - b)) {
    if (n > 0 && n >= part * all) return n === below ? bound : before + (bound - before) * (part * all - below) / (n - below);
    [before, below] = [bound, n];
  }
  return before;
}

function table(members) {
  const versions = new Set(members.filter((m) => m.answers).map((m) => `${m.version} ${m.commit}`));
  const onDisk = members.some((m) => m.gauges?.disk_limit);
  const row = (m) => {
    const memory = (m.gauges?.memory_own ?? 0) + (m.gauges?.memory_hot ?? 0);
    const recent = (name) => m.recent?.[name] ?? 0;
    return h('tr', {},
      h('th', { scope: 'row' }, h('bdi', {}, m.name), m.self && h('span', { class: 'faint' }, ' (asked)')),
      h('td', {}, !m.answers ? h('span', { class: 'bad' }, 'does not answer') : m.missing ? h('span', { class: 'bad' }, m.missing) : h('span', { class: 'good' }, 'ready')),
      h('td', { class: 'number' }, percent(m.share, 1)),
      h('td', {}, h('time', { datetime: m.started, title: when(m.started) }, ago(m.started))),
      h('td', {}, h('code', { class: versions.size > 1 ? 'warn' : null }, h('bdi', {}, `${m.version} ${(m.commit ?? '').slice(0, 7)}`))),
      m.answers ? [
        h('td', { class: 'number' }, `${bytes(memory)} (${percent(memory, m.gauges.memory_limit)})`),
        onDisk && h('td', { class: 'number' }, m.gauges.disk_limit ? `${bytes(m.gauges.disk)} (${percent(m.gauges.disk, m.gauges.disk_limit)})` : '–'),
        h('td', { class: 'number' }, number(Object.entries(m.recent).filter(([k]) => k.startsWith('reads_')).reduce((n, [, k]) => n + k, 0))),
        h('td', { class: 'number' }, `${number(recent('s3_requests'))}${recent('s3_errors') ? `, ${number(recent('s3_errors'))} failed` : ''}`),
        h('td', { class: 'number' }, number(m.gauges.connections ?? 0)),
      ] : h('td', { colspan: onDisk ? 5 : 4 }));
  };
  const heads = [['Name'], ['State'], ['Share of keys', 'number'], ['Started'], ['Version'], ['Memory', 'number'], ...(onDisk ? [['Disk', 'number']] : []), ['Reads', 'number'], ['Requests to S3', 'number'], ['Connections', 'number']];
  return h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Members' },
    h('table', {}, h('thead', {}, h('tr', {}, heads.map(([text, kind]) => h('th', { scope: 'col', class: kind }, text)))), h('tbody', {}, members.map(row))));
}

function denied(denials) {
  if (denials.length === 0) return h('p', { class: 'faint' }, 'Nobody was denied anything since the nodes started. Those whose token is not good are in the audit log.');
  return h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Denials' }, h('table', {},
    h('thead', {}, h('tr', {}, ['When', 'Who', 'What', 'Why', 'Node', 'Request'].map((text) => h('th', { scope: 'col' }, text)))),
    h('tbody', {}, denials.map((d) => h('tr', {}, h('td', {}, h('time', { datetime: d.at, title: when(d.at) }, ago(d.at))), h('td', {}, h('bdi', {}, d.user)),
      h('td', {}, d.op), h('td', {}, d.problem), h('td', {}, h('bdi', {}, d.node)), h('td', {}, h('code', {}, d.request)))))));
}
