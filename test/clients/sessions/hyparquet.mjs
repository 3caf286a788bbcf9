// hyparquet and zarrita: columns of a Parquet file by ranges, and an array of zarr.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { asyncBufferFromUrl, parquetReadObjects } from 'hyparquet'
import * as zarr from 'zarrita'
const { ONE, TWO, TOKEN, PYTHON } = process.env
const headers = { authorization: `Bearer ${TOKEN}` }
execFileSync(PYTHON, ['-c', `
import numpy, pandas, zarr
pandas.DataFrame({"a": range(1000), "b": [str(i) for i in range(1000)]}).to_parquet("local.parquet")
zarr.create_array("local.zarr", data=numpy.arange(100.0), chunks=(10,), compressors=None)
`])
const put = async (key, body) => assert.equal((await fetch(`${ONE}/v1/objects/js/${key}`, { method: 'PUT', body, headers })).status, 201, key)
await put('a.parquet', readFileSync('local.parquet'))
for (const name of ['zarr.json', ...Array.from({ length: 10 }, (_, i) => `c/${i}`)]) await put(`a.zarr/${name}`, readFileSync(`local.zarr/${name}`))
const file = await asyncBufferFromUrl({ url: `${TWO}/v1/objects/js/a.parquet`, requestInit: { headers } })
const rows = await parquetReadObjects({ file, columns: ['b'], rowStart: 10, rowEnd: 12 })
assert.deepEqual(rows, [{ b: '10' }, { b: '11' }])
const store = new zarr.FetchStore(`${TWO}/v1/objects/js/a.zarr`, { overrides: { headers } })
const chunk = await zarr.get(await zarr.open.v3(store, { kind: 'array' }), [zarr.slice(5, 15)])
assert.deepEqual([...chunk.data], [5, 6, 7, 8, 9, 10, 11, 12, 13, 14])
const version = name => JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version
console.log(`hyparquet ${version('hyparquet')} zarrita ${version('zarrita')}`)
