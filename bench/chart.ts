/** One bar: what it stands for, how long it is, and what is written at its end. */
export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly text: string;
  readonly kind: "ours" | "theirs" | "floor";
}

export interface BarGroup {
  readonly title: string;
  readonly bars: readonly Bar[];
}

const width = 760;
const labelWidth = 150;
const barHeight = 18;
const rowHeight = 24;
const groupGap = 34;
const colours = { ours: "#0b7285", theirs: "#adb5bd", floor: "#e8a33d" } as const;

/**
 * Draws grouped horizontal bars, each group to its own scale, as an SVG that reads on light and on dark pages.
 * By hand: the smallest kept plotting library is larger than the rest of the benchmark.
 */
export function drawBars(title: string, groups: readonly BarGroup[]): string {
  let y = 56;
  const parts: string[] = [];
  for (const group of groups) {
    parts.push(textAt(16, y, group.title, "group"));
    y += 12;
    const longest = Math.max(...group.bars.map((bar) => bar.value));
    for (const bar of group.bars) {
      const length = Math.max(1, ((width - labelWidth - 150) * bar.value) / longest);
      parts.push(textAt(labelWidth - 10, y + 13, bar.label, "label"));
      parts.push(
        `<rect x="${labelWidth}" y="${y}" width="${length.toFixed(1)}" height="${barHeight}" rx="3" fill="${colours[bar.kind]}"/>`,
      );
      parts.push(textAt(labelWidth + length + 8, y + 13, bar.text, "value"));
      y += rowHeight;
    }
    y += groupGap - 12;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y}" viewBox="0 0 ${width} ${y}" role="img" aria-label="${escapeXml(title)}">
<style>
  text { font: 13px system-ui, sans-serif; fill: #212529 }
  .title { font-size: 17px; font-weight: 600 } .group { font-weight: 600 } .label { text-anchor: end }
  @media (prefers-color-scheme: dark) { text { fill: #e9ecef } }
</style>
${textAt(16, 28, title, "title")}
${parts.join("\n")}
</svg>
`;
}

function textAt(x: number, y: number, text: string, kind: string): string {
  return `<text x="${x.toFixed(1)}" y="${y}" class="${kind}">${escapeXml(text)}</text>`;
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
