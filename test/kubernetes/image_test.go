//go:build kubernetes

package kubernetes

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// imageName is the annotation of a manifest by which containerd names what it imports.
const imageName = "io.containerd.image.name"

// larderImage is the layout that 'make image' wrote, as a tar that containerd imports under a name.
func (k *kube) larderImage() string {
	k.t.Helper()
	files := make(map[string][]byte)
	layout := os.DirFS(filepath.Join(*source, "bin", "image"))
	err := fs.WalkDir(layout, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files[path], err = fs.ReadFile(layout, path)
		return err
	})
	if err != nil {
		k.t.Fatal(err)
	}
	var index map[string]any
	if err := json.Unmarshal(files["index.json"], &index); err != nil {
		k.t.Fatal(err)
	}
	for _, m := range index["manifests"].([]any) {
		m.(map[string]any)["annotations"] = map[string]string{imageName: "localhost/larder:dev"}
	}
	if files["index.json"], err = json.Marshal(index); err != nil {
		k.t.Fatal(err)
	}
	return k.write("larder.tar", string(k.tar(files, 0o644)))
}

// pauseImage is an image of the pause program alone, an OCI layout in a tar.
func (k *kube) pauseImage() string {
	k.t.Helper()
	program, err := os.ReadFile(filepath.Join(*home, "pause"))
	if err != nil {
		k.t.Fatal(err)
	}
	layer := k.tar(map[string][]byte{"pause": program}, 0o755)
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	blob := func(data []byte, kind string) map[string]any {
		digest := fmt.Sprintf("%x", sha256.Sum256(data))
		files["blobs/sha256/"+digest] = data
		return map[string]any{"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + digest, "size": len(data)}
	}
	encode := func(v map[string]any) []byte {
		data, err := json.Marshal(v)
		if err != nil {
			k.t.Fatal(err)
		}
		return data
	}
	config := encode(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{"Entrypoint": []string{"/pause"}, "User": "65535:65535"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	manifest := blob(encode(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": blob(config, "config.v1+json"), "layers": []any{blob(layer, "layer.v1.tar")},
	}), "manifest.v1+json")
	manifest["annotations"] = map[string]string{imageName: "localhost/pause:1"}
	manifest["platform"] = map[string]any{"os": "linux", "architecture": runtime.GOARCH}
	files["index.json"] = encode(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []any{manifest}})
	return k.write("pause.tar", string(k.tar(files, 0o644)))
}

// tar packs files of one mode.
func (k *kube) tar(files map[string][]byte, mode int64) []byte {
	k.t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, data := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data))}); err != nil {
			k.t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			k.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		k.t.Fatal(err)
	}
	return out.Bytes()
}
