import { readdirSync } from "node:fs";
import { isErrno } from "../../sys/index.ts";

let known: readonly string[] | undefined;

/** The sizes of huge pages that the kernel has, as cgroup files name them: 2MB, 1GB. */
export function hugePageSizes(): readonly string[] {
  known ??= readSizes();
  return known;
}

function readSizes(): readonly string[] {
  try {
    return readdirSync("/sys/kernel/mm/hugepages").flatMap(pageSizeOf);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

/** `hugepages-2048kB` as 2MB. Source: kernel mm/hugetlb_cgroup.c, mem_fmt. */
export function pageSizeOf(name: string): string[] {
  const kilobytes = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1] ?? 0);
  if (kilobytes === 0) return [];
  if (kilobytes >= 1 << 20) return [`${kilobytes >> 20}GB`];
  return [kilobytes >= 1 << 10 ? `${kilobytes >> 10}MB` : `${kilobytes}KB`];
}
