/** Random lower-case hex digits. */
export function randomHex(digits: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(Math.ceil(digits / 2)));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"))
    .join("")
    .slice(0, digits);
}

/** A container's id when its maker gave no name: as short as docker shows them. */
export function newContainerId(): string {
  return randomHex(12);
}
