package page

import (
	"os"
	"path/filepath"
	"testing"
)

// Arrow, Parquet and .npy are described, and what only begins as one of them does no harm.
func testPreviews(t *testing.T, c cluster, b browser) {
	w := c.signIn(b, c.ada, "")
	for name, shows := range map[string][]string{
		"table.arrows":  {"A table in Arrow: 11 columns", "name <b>", "timestamp in µs, Europe/Berlin", "decimal(9, 2)", "text, dictionary"},
		"table.parquet": {"A Parquet file: 11 columns, 1 row", "name <b>", "timestamp (int64)", "element"},
		"array.npy":     {"An array of numpy", "'<f8'", "(3, 4)"},
		"no.parquet":    {"does not end as one"},
		"no.npy":        {"cut short"},
		"no.arrow":      {"whose schema cannot be read"},
	} {
		body, err := os.ReadFile(filepath.Join("testdata", name))
		if made := map[string]string{
			"no.parquet": "PAR1 and no such end", "no.npy": "\x93NUMPY\x02", "no.arrow": "ARROW1\x00\x00\xff\xff\xff\xff\x10\x00\x00\x00\xff\xff\xff\x7f",
			"array.npy": "\x93NUMPY\x01\x00\x3b\x00{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }",
		}[name]; made != "" {
			body, err = []byte(made), nil
		}
		if err != nil {
			t.Fatal(err)
		}
		c.put(t, "objects", name, string(body))
		w.visit("#/object/objects/" + name)
		w.shows("#preview", shows...)
	}
	if wrong := js[string](w, hostile); wrong != "" {
		t.Error(wrong)
	}
}

// hostile changes bytes of what can be described, and cuts it, by the numbers of a small
// generator, and returns what the page could not cope with.
const hostile = `(async () => {
	const {render} = await import("/ui/preview.js");
	const {parquetSchema} = await import("/ui/parquet.js");
	let seed = 1;
	const random = (n) => { seed = (seed * 48271) % 2147483647; return seed % n; };
	const {token} = (await import("/ui/api.js")).session;
	for (const name of ["table.arrows", "table.parquet", "array.npy"]) {
		const answer = await fetch("/v1/objects/" + name, {headers: {Authorization: "Bearer " + token}});
		let whole = new Uint8Array(await answer.arrayBuffer());
		if (name === "table.parquet") whole = whole.slice(new DataView(whole.buffer).getUint32(whole.length - 8, true) * -1 - 8, -8);
		for (let i = 0; i < 3000; i++) {
			const data = whole.slice(0, random(4) ? whole.length : random(whole.length));
			for (let k = random(8); k >= 0 && data.length > 0; k--) data[random(data.length)] = [255, 129, 0, random(256)][random(4)];
			try {
				name === "table.parquet" ? parquetSchema(data) : render(data, {size: data.length, type: ""});
			} catch (error) {
				if (!(error instanceof RangeError && name === "table.parquet")) return name + ", change " + i + ": " + error;
			}
		}
	}
	return "";
})()`
