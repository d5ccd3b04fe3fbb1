/**
 * A moment's text in UTC, without zeros at the fraction's end, as Go's time.RFC3339Nano has it.
 * Shape: whole seconds since the epoch, and the nanoseconds on top of them.
 */
export function rfc3339(seconds: number, nanos: number): string {
  const whole = new Date(seconds * 1000).toISOString().slice(0, -".000Z".length);
  const fraction = nanos === 0 ? "" : `.${String(nanos).padStart(9, "0").replace(/0+$/, "")}`;
  return `${whole}${fraction}Z`;
}
