// What reads saved, and what the organisation has and may have.

import { h, keyText, problemBox, svg } from './dom.js';
import { Problem, askJSON } from './api.js';
import { ago, bytes, hours, money, number, percent, plural, span, when } from './format.js';
import { objectRoute } from './route.js';
import { card } from './object.js';

export const title = 'Saved';

export async function show(box, route, signal) {
  box.replaceChildren(h('h1', {}, 'Saved'), h('p', { class: 'faint' }, 'Counting …'));
  const soon = askJSON('/v1/expiring', { signal }).catch((problem) => { if (problem instanceof Problem) return problem; throw problem; });
  const usage = await askJSON('/v1/usage', { signal });
  const priced = usage.limits.cost_per_hour !== null;
  box.replaceChildren(h('h1', {}, 'Saved'),
    h('p', { class: 'faint' }, 'Hours of building that nobody had to wait for, since somebody had stored the result. Days are in UTC.'),
    h('div', { class: 'tiles' }, tile('Today', usage.saved.today, priced), tile('This month', usage.saved.month, priced), tile('In all', usage.saved.all, priced), served(usage.served, priced)),
    usage.days?.length > 0 && card('By day', chart(usage.days), table('Days', 'Day', [...usage.days].reverse().map((d) => ({ ...d, name: d.day })), priced, true)) || '',
    h('div', { class: 'columns' },
      card('What saved most', table('What saved most', 'Name', usage.names, priced)),
      card('Who saved most', table('Who saved most', 'User', usage.users, priced))),
    h('h1', { class: 'next' }, 'Stored'),
    h('p', { class: 'faint' }, usage.counted ? `Compared with the bucket ${ago(usage.counted)}.` : 'Not yet compared with the bucket: what was there before is not counted.'),
    h('div', { class: 'columns' }, card('By service and writer', writers(usage)), card('Limits', limits(usage))),
    card('Expires within a week', expiring(await soon)));
}

// served is whom one's own builds served. What was read before nodes counted that is not
// among it.
function served(of, priced) {
  return of && h('section', { class: 'card tile' }, h('h2', {}, 'Your builds served'), h('div', { class: 'big' }, of.people === 0 ? 'nobody yet' : plural(of.people, 'person', 'people')),
    h('p', { class: 'faint' }, of.people > 0 && [plural(of.hits, 'read'), `, ${hours(of.seconds)}`, priced && of.cost !== null && ` · ${money(of.cost)} in money`]));
}

const expiringShown = 100;

function expiring(answer) {
  if (answer instanceof Problem) return problemBox(answer);
  const { expiring: all, more } = answer;
  if (all.length === 0) return h('p', { class: 'faint' }, more ? 'Nothing of what was looked at. There may be more.' : 'Nothing.');
  return [
    h('p', { class: 'faint' }, `${plural(all.length, 'object')}${more ? ' or more' : ''}, the soonest first${all.length > expiringShown ? `; the first ${expiringShown} are shown` : ''}.`),
    h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'What expires within a week' }, h('table', {},
      h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'Key'), h('th', { scope: 'col', class: 'number' }, 'Size'), h('th', { scope: 'col' }, 'Written by'), h('th', { scope: 'col' }, 'Expires'))),
      h('tbody', {}, all.slice(0, expiringShown).map((e) => h('tr', {}, h('th', { scope: 'row' }, h('a', { href: objectRoute(e.service, e.key) }, keyText(e.key))),
        h('td', { class: 'number' }, bytes(e.size)), h('td', {}, h('bdi', {}, e.writer)), h('td', {}, h('time', { datetime: e.expires, title: when(e.expires) }, ago(e.expires)))))))),
  ];
}

function tile(name, saving, priced) {
  return h('section', { class: 'card tile' }, h('h2', {}, name), h('div', { class: 'big' }, hours(saving.seconds)),
    h('p', { class: 'faint' }, plural(saving.hits, 'read'), priced && saving.cost !== null && ` · ${money(saving.cost)} in money`));
}

// chart shows the last thirty days as bars; the table below it says the same in numbers.
function chart(days) {
  const known = new Map(days.map((d) => [d.day, d]));
  const last = Array.from({ length: 30 }, (_, i) => new Date(Date.now() - (29 - i) * 86400000).toISOString().slice(0, 10));
  const most = Math.max(...days.map((d) => d.seconds), 1);
  const [width, height, step] = [900, 110, 30];
  return svg('svg', { viewBox: `0 0 ${width} ${height + 20}`, class: 'chart', role: 'img', 'aria-label': 'Time saved on each of the last thirty days; the table below has the numbers' },
    svg('text', { x: 0, y: 12 }, hours(most)),
    svg('line', { x1: 0, x2: width, y1: height + 0.5, y2: height + 0.5 }),
    last.map((day, i) => {
      const saved = known.get(day);
      const tall = saved ? Math.max(height * saved.seconds / most, 2) : 0;
      return svg('g', {}, saved && svg('rect', { x: i * step + 4, y: height - tall, width: step - 8, height: tall, rx: 2 }, svg('title', {}, `${day}: ${hours(saved.seconds)}`)),
        (29 - i) % 7 === 0 && svg('text', { x: i * step + step / 2, y: height + 16, 'text-anchor': 'middle' }, day.slice(5)));
    }));
}

function table(label, heading, rows, priced, folded) {
  if (rows.length === 0) return h('p', { class: 'faint' }, 'Nothing yet. A read counts if the object says how long it took to build, as the Python client does.');
  const all = h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': label },
    h('table', {},
      h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, heading), h('th', { scope: 'col', class: 'number' }, 'Saved'), h('th', { scope: 'col', class: 'number' }, 'Reads'), priced && h('th', { scope: 'col', class: 'number' }, 'Money'))),
      h('tbody', {}, rows.map((row) => h('tr', {}, h('th', { scope: 'row', class: 'key' }, h('bdi', {}, row.name || '(not known)')),
        h('td', { class: 'number' }, hours(row.seconds)), h('td', { class: 'number' }, number(row.hits)), priced && h('td', { class: 'number' }, money(row.cost)))))));
  return folded ? h('details', {}, h('summary', {}, 'As a table'), all) : all;
}

function writers(usage) {
  const rows = [...Object.entries(usage.services).map(([name, sum]) => [name, sum, true]),
    ...Object.entries(usage.writers).sort(([, a], [, b]) => b.bytes - a.bytes).map(([name, sum]) => [name || '(not known)', sum, false])];
  return h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Stored by service and writer' }, h('table', {},
    h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'Service, or writer'), h('th', { scope: 'col', class: 'number' }, 'Objects'), h('th', { scope: 'col', class: 'number' }, 'Size'), h('th', { scope: 'col', class: 'number' }, 'Part'))),
    h('tbody', {}, rows.map(([name, sum, service]) => h('tr', {}, h('th', { scope: 'row' }, service ? h('strong', {}, name) : h('bdi', {}, name)),
      h('td', { class: 'number' }, number(sum.objects)), h('td', { class: 'number' }, bytes(sum.bytes)), h('td', { class: 'number' }, percent(sum.bytes, usage.bytes)))))));
}

function limits(usage) {
  const of = usage.limits;
  const meter = (name, have, most, show) => h('div', { class: 'limit' },
    h('div', { class: 'line' }, h('span', {}, name), h('span', {}, most === null ? `${show(have)}, no limit` : `${show(have)} of ${show(most)}`)),
    most !== null && h('meter', { min: 0, max: most, value: have, high: 0.9 * most, 'aria-label': name }));
  const rows = [
    ['Largest object', of.max_object_size && bytes(of.max_object_size)], ['Requests a second', of.requests_per_second && number(of.requests_per_second)],
    ['Bytes a second', of.bytes_per_second && bytes(of.bytes_per_second)], ['Kept for', of.expires_in ? span(of.expires_in) : 'ever, unless a writer says otherwise'],
    ['At most', of.max_expires_in && span(of.max_expires_in)],
  ].filter(([, value]) => value);
  return h('div', {}, meter('Size', usage.bytes, of.max_bytes, bytes), meter('Objects', usage.objects, of.max_objects, number),
    h('dl', {}, rows.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value)))),
    usage.counted && h('p', { class: 'faint' }, `As of ${when(usage.counted)}, and what was written since.`));
}
