// One kept-alive HTTP connection that asks one thing after the other. It does as little as it can, because it shares the
// CPUs with the server that is measured.
import { once } from 'node:events';
import { connect } from 'node:net';

const HEAD_END = '\r\n\r\n';
const LENGTH = /\r\ncontent-length: (\d+)/i;

export class JsonConnection {
  #socket;
  #headers;
  #received = '';
  #waiting;

  /** `headers` go with every request, as lines that each end in CRLF. */
  static async open(port, headers = '') {
    const connection = new JsonConnection();
    connection.#headers = headers;
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    connection.#socket = socket.setEncoding('latin1');
    socket.on('data', (text) => connection.#take(text));
    socket.on('error', (error) => connection.#waiting?.reject(error));
    socket.on('close', () => connection.#waiting?.reject(new Error('The server has closed the connection.')));
    await once(socket, 'connect');
    return connection;
  }

  /** The status and the text of the answer; what is not ASCII in it is not decoded. */
  async ask(method, path, body) {
    const answer = new Promise((resolve, reject) => (this.#waiting = { resolve, reject }));
    const text = JSON.stringify(body);
    this.#socket.write(
      `${method} ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n${this.#headers}` +
        `content-length: ${Buffer.byteLength(text)}${HEAD_END}${text}`,
    );
    return answer;
  }

  close() {
    this.#socket.destroy();
  }

  #take(text) {
    this.#received += text;
    const end = this.#received.indexOf(HEAD_END);
    if (end === -1) return;
    const head = this.#received.slice(0, end);
    const from = end + HEAD_END.length;
    const to = from + Number(LENGTH.exec(head)?.[1] ?? 0);
    if (this.#received.length < to) return;
    const answer = { status: Number(head.slice(9, 12)), text: this.#received.slice(from, to) };
    this.#received = this.#received.slice(to);
    // Before it closes a connection that asked nothing for long, a server says so.
    this.#waiting?.resolve(answer);
  }
}
