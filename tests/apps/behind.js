// The pages of behind.py by Node's http server: `node behind.js PORT`. Upgrades are echoed as raw bytes.
const http = require("http");
const crypto = require("crypto");

const piece = Buffer.from("0123456789abcde\n".repeat(4096));

function* pieces(size) {
  for (; size > 0; size -= piece.length) yield piece.subarray(0, Math.min(size, piece.length));
}

const server = http.createServer((request, response) => {
  const url = new URL(request.url, "http://x");
  const path = url.pathname;
  response.setHeader("Content-Type", "text/plain");
  if (path.endsWith("/upload")) {
    const hash = crypto.createHash("sha256");
    let length = 0;
    request.on("data", (data) => { length += data.length; hash.update(data); });
    request.on("end", () => response.end(JSON.stringify({ length, sha256: hash.digest("hex") })));
  } else if (path.endsWith("/download")) {
    const size = Number(url.searchParams.get("size"));
    response.setHeader("Content-Length", size);
    const rest = pieces(size);
    const more = () => {
      for (let next = rest.next(); ; next = rest.next()) {
        if (next.done) return response.end();
        if (!response.write(next.value)) return response.once("drain", more);
      }
    };
    more();
  } else if (path.endsWith("/stream")) {
    for (let number = 0; number < 5; number++) response.write(`piece ${number}\n`);
    response.end();
  } else if (path.endsWith("/status")) {
    response.statusCode = Number(url.searchParams.get("code"));
    response.end([204, 304].includes(response.statusCode) ? "" : "a body\n");
  } else {
    response.end(JSON.stringify({
      method: request.method, path: decodeURIComponent(path), query: url.search.slice(1), headers: request.headers,
      protocol: `HTTP/${request.httpVersion}`, port: String(request.socket.remotePort),
    }));
  }
});
server.on("upgrade", (request, socket, head) => {
  socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: raw\r\nConnection: Upgrade\r\n\r\n");
  if (head.length) socket.write(head);
  socket.on("data", (data) => socket.write(data));
  socket.on("error", () => socket.destroy());
});
server.listen(Number(process.argv[2]), "127.0.0.1");
