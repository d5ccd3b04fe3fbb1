import config from "../../packaging/config.toml" with { type: "text" };
import service from "../../packaging/lighter.service" with { type: "text" };
import socket from "../../packaging/lighter.socket" with { type: "text" };
import { completionScript } from "./completion-scripts.ts";
import { manPages } from "./man-pages.ts";

/** One thing that is installed, by its path as it is below the root. */
export type Item =
  | {
      readonly kind: "file";
      readonly path: string;
      readonly mode: number;
      readonly text: string;
      readonly config?: true;
    }
  | { readonly kind: "program"; readonly path: string; readonly mode: number; readonly source: string }
  | { readonly kind: "link"; readonly path: string; readonly target: string };

/** Folders that have to be there though nothing is in them. */
export const ownFolders: readonly string[] = ["/etc/lighter/conf.d"];

/** Where it is written down what was installed. */
export const manifestPath = "/usr/local/lib/lighter/install.json";

/**
 * Everything that is installed, in the order in which it is written: the unit after what it starts.
 * Shape: below /usr/local, as what no package manager knows has its place there; systemd, man and the shells look there too.
 * Source: Filesystem Hierarchy Standard 3.0, 4.9; systemd.unit(5).
 */
export async function itemsOf(program: string): Promise<readonly Item[]> {
  const file = (path: string, text: string): Item => ({ kind: "file", path, mode: 0o644, text });
  const link = (path: string, target: string): Item => ({ kind: "link", path, target });
  const names = ["lighterd", "containerd-shim-lighter-v2"];
  const share = "/usr/local/share";
  const pages = [...(await manPages())];
  return [
    { kind: "program", path: "/usr/local/lib/lighter/lighter", mode: 0o755, source: program },
    // Each is looked for beside the executable.
    ...names.map((name) => link(`/usr/local/lib/lighter/${name}`, "lighter")),
    ...["lighter", ...names].map((name) => link(`/usr/local/bin/${name}`, `../lib/lighter/${name}`)),
    { kind: "file", path: "/etc/lighter/config.toml", mode: 0o644, text: String(config), config: true },
    ...pages.map(([name, text]) => file(`${share}/man/man${name.slice(-1)}/${name}`, text)),
    file(`${share}/bash-completion/completions/lighter`, completionScript("bash") ?? ""),
    file(`${share}/zsh/site-functions/_lighter`, completionScript("zsh") ?? ""),
    file(`${share}/fish/vendor_completions.d/lighter.fish`, completionScript("fish") ?? ""),
    file("/usr/local/lib/systemd/system/lighter.socket", socket),
    file(
      "/usr/local/lib/systemd/system/lighter.service",
      service.replace("/usr/bin/lighterd", "/usr/local/bin/lighterd"),
    ),
  ];
}
