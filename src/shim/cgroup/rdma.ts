/** What of an RDMA device is in use, or may be. */
interface RdmaFigures {
  readonly device: string;
  readonly hcaHandles: number;
  readonly hcaObjects: number;
}

const unlimited = 2 ** 32 - 1;

/** Lines of `device hca_handle=N hca_object=N`, where N may be "max". Source: kernel Documentation/admin-guide/cgroup-v1/rdma.rst. */
export function parseRdma(text: string | undefined): RdmaFigures[] {
  return (text ?? "").split("\n").flatMap((line) => {
    const [device = "", ...pairs] = line.split(/\s+/);
    const values = new Map(pairs.map((pair) => pair.split("=") as [string, string]));
    if (device === "" || values.size < 2) return [];
    return [{ device, hcaHandles: count(values.get("hca_handle")), hcaObjects: count(values.get("hca_object")) }];
  });
}

function count(text = ""): number {
  if (text === "max") return unlimited;
  return /^\d+$/.test(text) ? Math.min(Number(text), unlimited) : 0;
}
