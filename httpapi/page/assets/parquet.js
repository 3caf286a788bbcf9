// The schema at the end of a Parquet file (Apache Parquet, parquet.thrift), out of Thrift's
// compact protocol (Apache Thrift, thrift-compact-protocol.md). The bytes are anybody's: what
// leads out of them, or nests too deeply, ends the reading with an error.

const most = 1000; // columns that are read
const deepest = 32; // of structs and lists in each other
const longest = 512; // bytes of a name

// parquetFooter returns how many bytes the description of a file has, of its last eight.
export function parquetFooter(last) {
  const view = new DataView(last.buffer, last.byteOffset, last.byteLength);
  if (view.getUint32(4, true) !== 0x31524150) throw new RangeError('no Parquet file'); // "PAR1"
  return view.getUint32(0, true);
}

// parquetSchema returns the columns, each with its depth, the number of rows, and whether
// there are more columns, out of the beginning of a description.
export function parquetSchema(data) {
  const r = { data, at: 0, done: false };
  const out = { columns: [], more: false, rows: null };
  struct(r, 0, {
    2: () => schema(r, out),
    3: () => { out.rows = zigzag(r); r.done = true; }, // groups of rows follow
  });
  return out;
}

// schema reads the elements, which are the columns and what they lie in, from the outside in.
function schema(r, out) {
  const left = []; // how many children are still to come, at each depth
  list(r, () => {
    const e = { name: '', children: 0, type: null, repeated: 0, logical: null, converted: null };
    struct(r, 1, {
      1: () => { e.type = zigzag(r); }, 3: () => { e.repeated = zigzag(r); }, 4: () => { e.name = text(r); }, 5: () => { e.children = zigzag(r); },
      6: () => { e.converted = zigzag(r); }, 10: () => struct(r, 2, {}, (id) => { e.logical ??= id; }),
    });
    while (left.length > 0 && left.at(-1) <= 0) left.pop();
    const depth = left.length - 1; // of the root -1, which is no column
    if (left.length > 0) left[left.length - 1]--;
    if (e.children > 0) left.push(e.children);
    if (depth < 0) return true;
    if (out.columns.length >= most || depth > deepest) out.more = true;
    else out.columns.push({ name: e.name, type: nameOf(e), nullable: e.repeated === 1, depth });
    return !out.more;
  });
  if (out.more) r.done = true;
}

const logical = {
  1: 'text', 2: 'map', 3: 'list', 4: 'enum', 5: 'decimal', 6: 'date', 7: 'time', 8: 'timestamp', 10: 'integer', 11: 'null', 12: 'JSON', 13: 'BSON', 14: 'UUID', 15: 'float16',
};
const converted = { 0: 'text', 1: 'map', 3: 'list', 4: 'enum', 5: 'decimal', 6: 'date', 7: 'time', 8: 'time', 9: 'timestamp', 10: 'timestamp', 19: 'JSON', 20: 'BSON' };
const physical = ['bool', 'int32', 'int64', 'int96', 'float32', 'float64', 'binary', 'binary'];

function nameOf(e) {
  const base = e.type === null ? '' : physical[e.type] ?? `type ${e.type}`;
  const more = logical[e.logical] ?? converted[e.converted];
  const words = more === 'integer' || !more ? base || 'struct' : base && more !== 'text' ? `${more} (${base})` : more;
  return e.repeated === 2 ? `${words}, repeated` : words;
}

// struct reads a struct: of the fields that it knows, with what reads them, and passes
// over the others. heard hears of each.
function struct(r, depth, known, heard = () => {}) {
  if (depth > deepest) throw new RangeError('too deep');
  for (let id = 0; !r.done;) {
    const head = next(r);
    if (head === 0) return;
    id = head >> 4 ? id + (head >> 4) : zigzag(r);
    heard(id);
    if (Object.hasOwn(known, id)) known[id]();
    else pass(r, head & 15, depth);
  }
}

// list calls f for each element, until it returns false.
function list(r, f) {
  const head = next(r);
  const n = head >> 4 === 15 ? varint(r) : head >> 4;
  for (let i = 0; i < n && f(head & 15); i++);
}

// pass passes over a field. Each of a list or map takes a byte at least, so that no count
// keeps it longer than there are bytes.
function pass(r, type, depth) {
  if (depth > deepest) throw new RangeError('too deep');
  const element = (of) => pass(r, of === 1 || of === 2 ? 3 : of, depth + 1); // true and false have a byte there
  switch (type) {
    case 1: case 2: return; // true and false
    case 3: next(r); return;
    case 4: case 5: case 6: varint(r); return;
    case 7: over(r, 8); return;
    case 8: over(r, varint(r)); return;
    case 9: case 10: list(r, (of) => { element(of); return true; }); return;
    case 11: {
      const n = varint(r);
      const of = n > 0 ? next(r) : 0;
      for (let i = 0; i < n; i++) { element(of >> 4); element(of & 15); }
      return;
    }
    case 12: struct(r, depth + 1, {}); return;
    default: throw new RangeError('no type of Thrift');
  }
}

function over(r, n) {
  r.at += n;
  if (!(r.at <= r.data.length)) throw new RangeError('it is cut short');
}

function next(r) {
  if (!(r.at < r.data.length)) throw new RangeError('it is cut short');
  return r.data[r.at++];
}

function varint(r) {
  let n = 0;
  for (let by = 1; ; by *= 128) {
    if (by > 2 ** 63) throw new RangeError('a number that goes on');
    const b = next(r);
    n += (b & 127) * by;
    if (b < 128) return n;
  }
}

function zigzag(r) {
  const n = varint(r);
  return n % 2 ? -(n + 1) / 2 : n / 2;
}

function text(r) {
  const n = varint(r);
  const from = r.at;
  over(r, n);
  return new TextDecoder().decode(r.data.subarray(from, from + Math.min(n, longest)));
}
