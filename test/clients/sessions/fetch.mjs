// Node's fetch: put, get, a condition; encodeURIComponent makes a path of any key.
import assert from 'node:assert/strict'
const { ONE, TWO, TOKEN } = process.env
const headers = { authorization: `Bearer ${TOKEN}` }
const path = key => '/v1/objects/' + encodeURIComponent(key)
const body = Uint8Array.from({ length: 2_000_000 }, (_, i) => i * 31)
for (const key of ['fetch/a b', 'fetch/%41', 'fetch/x|y+z', 'fetch//..//é', 'fetch/[1]?#&']) {
  assert.equal((await fetch(ONE + path(key), { method: 'PUT', body, headers })).status, 201, key)
  const got = await fetch(TWO + path(key), { headers })
  assert.deepEqual(new Uint8Array(await got.arrayBuffer()), body, key)
  assert.equal((await fetch(TWO + path(key), { headers: { ...headers, 'if-none-match': got.headers.get('etag') } })).status, 304)
}
// Of the keys "." and ".." a URL makes none: they are named in the query.
assert.equal((await fetch(ONE + '/v1/objects?key=..', { method: 'PUT', body: 'dots', headers })).status, 201)
assert.equal(await (await fetch(TWO + '/v1/objects?key=..', { headers })).text(), 'dots')
const list = await (await fetch(TWO + '/v1/objects?' + new URLSearchParams({ prefix: 'fetch/x|y+z' }), { headers })).json()
assert.deepEqual(list.keys.map(k => k.key), ['fetch/x|y+z'])
console.log(`Node ${process.version} fetch`)
