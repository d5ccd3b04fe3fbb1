import { waitFor } from "../support/index.ts";

/** A service manager's socket, and what was told to it, message by message. */
export interface ManagerSocket extends AsyncDisposable {
  readonly path: string;
  readonly messages: readonly string[];
  /** Waits until one holds the text, after so many others. Answers its index. */
  until(text: string, from?: number): Promise<number>;
}

const script = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
while True: print(s.recv(4096).decode().replace("\\n", ";"), flush=True)
`;

/** Listens as a service manager does, until disposed. The runtime has no unix datagrams, so python does. */
export async function openManagerSocket(path: string): Promise<ManagerSocket> {
  const child = Bun.spawn(["python3", "-c", script, path], { stdio: ["ignore", "pipe", "inherit"] });
  const lines: string[] = [];
  const reading = (async () => {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = parts.pop() ?? "";
      lines.push(...parts);
    }
  })();
  await waitFor("the manager's socket", () => lines.length > 0);
  lines.shift();
  return {
    path,
    messages: lines,
    until: async (text, from = 0) => {
      const find = (): number => lines.findIndex((line, n) => n >= from && line.includes(text));
      await waitFor(`${text} told to the manager`, () => find() >= 0);
      return find();
    },
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await child.exited;
      await reading;
    },
  };
}
