// The schema at the beginning of an Arrow IPC file or stream (Apache Arrow, "Serialization
// and Interprocess Communication", and Message.fbs and Schema.fbs beside it), out of its
// flatbuffer. The bytes are anybody's: what leads out of them, or on and on, ends the reading
// with an error.

const most = 1000; // fields that are read
const deepest = 16; // of fields in fields
const longest = 512; // bytes of a name

// arrowSchema returns the columns that the bytes begin with, each with its depth, and whether
// there are more.
export function arrowSchema(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let at = view.getUint32(0, true) === 0x4f525241 ? 8 : 0; // "ARRO" of "ARROW1", padded
  let length = view.getUint32(at, true);
  at += 4;
  if (length === 0xffffffff) { // of releases since 0.15
    length = view.getUint32(at, true);
    at += 4;
  }
  if (length < 8) throw new RangeError('no message');
  const message = table(view, at + view.getUint32(at, true));
  if (byte(message, 1, 0) !== 1) throw new RangeError('the first message is no schema');
  const out = { columns: [], more: false };
  each(child(message, 2), 1, (field) => add(out, field, 0), out);
  return out;
}

function add(out, field, depth) {
  if (out.columns.length >= most || depth > deepest) {
    out.more = true;
    return;
  }
  const kind = child(field, 3);
  out.columns.push({ name: text(field, 0), type: nameOf(byte(field, 2, 0), kind), nullable: byte(field, 1, 0) === 1, dictionary: slot(field, 4) !== 0, depth });
  if (slot(field, 5)) each(field, 5, (f) => add(out, f, depth + 1), out);
}

// A table of a flatbuffer: its fields are found through a table of offsets, which lies as
// far before it as it says.
function table(view, at) {
  const offsets = at - view.getInt32(at, true);
  return { view, at, offsets, size: view.getUint16(offsets, true) };
}

// slot is where field n of a table lies; 0 if it is not there.
function slot(t, n) {
  const entry = 4 + 2 * n;
  if (entry + 2 > t.size) return 0;
  const offset = t.view.getUint16(t.offsets + entry, true);
  return offset && t.at + offset;
}

function byte(t, n, absent) { const at = slot(t, n); return at ? t.view.getUint8(at) : absent; }
function short(t, n, absent) { const at = slot(t, n); return at ? t.view.getInt16(at, true) : absent; }
function int(t, n, absent) { const at = slot(t, n); return at ? t.view.getInt32(at, true) : absent; }

// target is where a field of a table points to.
function target(t, n) {
  const at = slot(t, n);
  if (!at) throw new RangeError('a field is missing');
  return at + t.view.getUint32(at, true);
}

function child(t, n) { return table(t.view, target(t, n)); }

function text(t, n) {
  if (!slot(t, n)) return '';
  const at = target(t, n);
  const length = Math.min(t.view.getUint32(at, true), longest);
  if (at + 4 + length > t.view.byteLength) throw new RangeError('a text that goes on');
  return new TextDecoder().decode(new Uint8Array(t.view.buffer, t.view.byteOffset + at + 4, length));
}

// each calls f with the tables of a vector.
function each(t, n, f, out) {
  const at = target(t, n);
  const count = t.view.getUint32(at, true);
  for (let i = 0; i < count && !out.more; i++) {
    const entry = at + 4 + 4 * i;
    f(table(t.view, entry + t.view.getUint32(entry, true)));
  }
}

const units = ['s', 'ms', 'µs', 'ns'];
const plain = {
  1: 'null', 4: 'binary', 5: 'text', 6: 'bool', 12: 'list', 13: 'struct', 14: 'union', 17: 'map', 19: 'large binary', 20: 'large text', 21: 'large list', 22: 'run ends', 23: 'binary view',
  24: 'text view', 25: 'list view', 26: 'large list view',
};

// nameOf names a type, with what says more of it.
function nameOf(kind, t) {
  switch (kind) {
    case 2: return `${byte(t, 1, 0) ? 'int' : 'uint'}${int(t, 0, 0)}`;
    case 3: return `float${[16, 32, 64][short(t, 0, 0)] ?? ''}`;
    case 7: return `decimal(${int(t, 0, 0)}, ${int(t, 1, 0)})`;
    case 8: return short(t, 0, 1) === 0 ? 'date' : 'date in ms';
    case 9: return `time in ${units[short(t, 0, 1)] ?? '?'}`;
    case 10: return `timestamp in ${units[short(t, 0, 0)] ?? '?'}${slot(t, 1) ? `, ${text(t, 1)}` : ''}`;
    case 11: return 'interval';
    case 15: return `binary of ${int(t, 0, 0)} bytes`;
    case 16: return `list of ${int(t, 0, 0)}`;
    case 18: return `duration in ${units[short(t, 0, 1)] ?? '?'}`;
    default: return plain[kind] ?? `type ${kind}`;
  }
}
