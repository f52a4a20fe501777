// Unpacks the browser that tests drive, with the libraries and the font that
// it needs, from its package into the folder that is named.
import { createReadStream, createWriteStream, mkdirSync, writeFileSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";
import { fileURLToPath } from "node:url";
import path from "node:path";
import tar from "tar-fs";

const target = path.resolve(process.argv[2]);
const packed = fileURLToPath(new URL("node_modules/@sparticuz/chromium/bin/", import.meta.url));
const unpack = (name, sink) =>
  pipeline(createReadStream(path.join(packed, name)), createBrotliDecompress(), sink);

mkdirSync(target, { recursive: true });
await unpack("chromium.br", createWriteStream(path.join(target, "chromium"), { mode: 0o755 }));
await unpack("al2023.tar.br", tar.extract(target));
await unpack("fonts.tar.br", tar.extract(target));

// What the package has for this names folders of a machine of its own.
writeFileSync(
  path.join(target, "fonts.conf"),
  `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${path.join(target, "fonts")}</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir>${path.join(target, "cache")}</cachedir>
</fontconfig>
`,
);
