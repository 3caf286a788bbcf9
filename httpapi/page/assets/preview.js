// A look at an object: the beginning of JSON and text, the head of a .npy file, the schema of
// Arrow and Parquet, and the header of a frame of the Python client. Nothing is unpickled or
// run.

import { h, problemBox } from './dom.js';
import { Problem, ask, objectPath } from './api.js';
import { bytes, number, plural } from './format.js';
import { arrowSchema } from './arrow.js';
import { parquetFooter, parquetSchema } from './parquet.js';

const beginning = 64 << 10; // bytes that are read
const shown = 16 << 10; // characters that are shown
const atOnce = 1 << 20; // objects up to this size are looked at without being asked

// preview is a card that is filled when the bytes are there.
export function preview(service, key, about, signal) {
  if (about.size === 0) return '';
  const body = h('div', {});
  const read = async (from, to) => {
    const headers = { Range: `bytes=${from}-${to - 1}`, ...(about.etag && { 'If-Match': about.etag }) };
    return new Uint8Array(await (await ask(objectPath(service, key), { headers, signal })).arrayBuffer());
  };
  const look = async () => {
    body.replaceChildren(h('p', { class: 'faint' }, 'Reading …'));
    try {
      const data = await read(0, beginning);
      const content = begins(data, [0x50, 0x41, 0x52, 0x31]) ? await parquet(about, read) : render(data, about);
      body.replaceChildren(...content.filter(Boolean));
    } catch (problem) {
      if (signal.aborted) return;
      if (!(problem instanceof Problem)) throw problem;
      body.replaceChildren(problemBox(problem, look));
    }
  };
  if (about.size <= atOnce) look();
  else body.append(h('button', { type: 'button', onclick: look }, 'Look at its beginning'));
  return h('section', { class: 'card', id: 'preview' }, h('h2', {}, 'Preview'), body);
}

// render shows what is safe to show of the bytes that an object begins with, whoever wrote
// them.
export function render(data, about) {
  try {
    return known(data, about);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return [h('p', {}, 'It begins as something that it is not, or that is cut short. Its first bytes:'), block(dump(data))];
  }
}

function known(data, about) {
  const whole = data.length >= about.size;
  if (begins(data, [0x89, 0x4c, 0x41, 0x52, 0x44, 0x45, 0x52, 0x0a])) return frame(data, about);
  if (begins(data, [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59])) return npy(data);
  if (begins(data, [0x80]) && data[1] <= 5) return [h('p', {}, 'A pickle. To open it would run code of whoever wrote it, so it is not opened here.')];
  if (begins(data, [0x41, 0x52, 0x52, 0x4f, 0x57, 0x31]) || begins(data, [0xff, 0xff, 0xff, 0xff])) {
    const shown = schema('A table in Arrow', () => arrowSchema(data));
    if (shown || data[0] === 0x41) return shown ?? [h('p', {}, `A file of Arrow whose schema cannot be read in its first ${bytes(data.length)}.`)];
  }
  const words = textOf(data, whole);
  if (words === null) return [h('p', {}, 'Bytes that are no text. The first of them:'), block(dump(data))];
  return [block(whole ? pretty(words, about.type) : words), !whole && h('p', { class: 'faint' }, `The first ${bytes(data.length)}.`)];
}

// parquet shows the columns of a file, which are described at its end.
async function parquet(about, read) {
  let problem = [h('p', {}, 'It begins as a Parquet file, and does not end as one.')];
  if (about.size < 12) return problem;
  const last = await read(about.size - 8, about.size);
  try {
    const from = about.size - 8 - parquetFooter(last);
    problem = [h('p', {}, 'A Parquet file whose description cannot be read.')];
    if (from < 4) return problem;
    const data = await read(from, Math.min(from + beginning, about.size - 8));
    return schema('A Parquet file', () => parquetSchema(data)) ?? problem;
  } catch (error) {
    if (error instanceof RangeError) return problem;
    throw error;
  }
}

const columnsShown = 200;

// schema shows columns; null if the bytes are none.
function schema(what, parse) {
  let found;
  try {
    found = parse();
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
  const { columns, rows, more } = found;
  const outer = columns.filter((c) => c.depth === 0).length;
  return [
    h('p', {}, `${what}: ${more ? 'more than ' : ''}${plural(outer, 'column')}`, rows !== null && rows !== undefined && `, ${plural(rows, 'row')}`, '.'),
    h('div', { class: 'scroll schema', tabindex: 0, role: 'region', 'aria-label': 'Columns' }, h('table', {},
      h('thead', {}, h('tr', {}, ['Column', 'Type'].map((text) => h('th', { scope: 'col' }, text)))),
      h('tbody', {}, columns.slice(0, columnsShown).map((c) => h('tr', {},
        h('th', { scope: 'row', class: 'key' }, '\u2003'.repeat(c.depth), h('bdi', {}, c.name)),
        h('td', {}, h('bdi', {}, c.type), c.dictionary && ', dictionary', !c.nullable && h('span', { class: 'faint' }, ', never null'))))))),
    columns.length > columnsShown && h('p', { class: 'faint' }, `And ${number(columns.length - columnsShown)} more.`),
  ];
}

function begins(data, mark) {
  return mark.every((byte, i) => data[i] === byte);
}

function block(words) {
  return h('pre', { tabindex: 0, 'aria-label': 'Preview', class: 'preview' }, words.length > shown ? `${words.slice(0, shown)} …` : words);
}

// textOf is what the bytes say in UTF-8; null if they are no text. A character may be
// cut at the end of a beginning.
function textOf(data, whole) {
  try {
    const words = new TextDecoder('utf-8', { fatal: true }).decode(data, { stream: !whole });
    return /[\u0000-\u0008\u000e-\u001a\u001c-\u001f]/.test(words) ? null : words;
  } catch {
    return null;
  }
}

function pretty(words, type) {
  if (!/json/.test(type) && !/^\s*[[{]/.test(words)) return words;
  try {
    return JSON.stringify(JSON.parse(words), null, 2);
  } catch {
    return words;
  }
}

function dump(data) {
  const lines = [];
  for (let at = 0; at < Math.min(data.length, 256); at += 16) {
    const part = [...data.slice(at, at + 16)];
    const digits = part.map((b) => b.toString(16).padStart(2, '0')).join(' ').padEnd(48);
    lines.push(`${digits} ${part.map((b) => (b >= 32 && b < 127 ? String.fromCharCode(b) : '.')).join('')}`);
  }
  return lines.join('\n');
}

// npy shows the head of a .npy file: a literal of Python that says type and shape.
function npy(data) {
  const view = new DataView(data.buffer);
  const [start, length] = data[6] >= 2 ? [12, view.getUint32(8, true)] : [10, view.getUint16(8, true)];
  return [h('p', {}, 'An array of numpy:'), block(new TextDecoder().decode(data.slice(start, start + length)).trim())];
}

// frame shows the header of a frame, which describes a value without holding it.
function frame(data, about) {
  const length = new DataView(data.buffer).getUint32(12, true);
  let header;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data.slice(16, 16 + length)));
  } catch {
    return [h('p', {}, `A frame of the Python client whose header is longer than ${bytes(data.length)}.`)];
  }
  const segments = Array.isArray(header?.segments) ? header.segments : [];
  const first = Number.isInteger(segments[0]?.size) ? segments[0] : null;
  const at = 16 + length;
  const plain = first && first.codec === '' && at + first.size <= data.length ? data.slice(at, at + first.size) : null;
  const out = [h('p', {}, says(header ?? {}, data[9] & 1))];
  if (plain && ['text', 'json', 'pandas'].includes(header.format)) out.push(block(pretty(textOf(plain, true) ?? dump(plain), 'json')));
  if (plain && header.format === 'npy') out.push(...npy(plain).slice(1));
  if (plain && header.format === 'arrow') out.push(...schema('Its schema', () => arrowSchema(plain)) ?? []);
  const packed = segments.filter((s) => s?.codec).length;
  out.push(h('p', { class: 'faint' }, `${segments.length} segment${segments.length === 1 ? '' : 's'}${packed ? `, ${packed} compressed` : ''}, ${bytes(about.size)} in all.`));
  return out;
}

function says(header, signed) {
  const kinds = {
    bytes: 'Bytes', text: 'Text', json: 'JSON', npy: 'An array of numpy', pandas: 'A table of pandas', arrow: 'A table in Arrow',
    pickle: 'A pickle, which is not opened here: that would run code of whoever wrote it',
  };
  return `${Object.hasOwn(kinds, header.format) ? kinds[header.format] : 'A value'}, stored by the Python client${signed ? ' and signed' : ''}.`;
}
