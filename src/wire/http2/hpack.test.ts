import { describe, expect, test } from "bun:test";
import { HpackDecoder } from "./hpack-decoder.ts";
import { HeaderTemplate, HpackEncoder } from "./hpack-encoder.ts";
import { huffmanDecode } from "./huffman.ts";
import { ConnectionError } from "./protocol.ts";

const limit = 64 * 1024;
const hex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ""), "hex");
const decodeAll = (decoder: HpackDecoder, block: string): string[] | undefined => {
  const bytes = hex(block);
  return decoder.decode(bytes, 0, bytes.length, limit);
};

/** Names and values by turns, from lines as people write them. */
const fieldsOf = (...lines: string[]): string[] =>
  lines.flatMap((line) => [line.slice(0, line.indexOf(": ", 1)), line.slice(line.indexOf(": ", 1) + 2)]);

const request1 = fieldsOf(":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com");
const request2 = [...request1, "cache-control", "no-cache"];
const request3 = fieldsOf(
  ":method: GET",
  ":scheme: https",
  ":path: /index.html",
  ":authority: www.example.com",
  "custom-key: custom-value",
);
const responseTo = (status: string, second: string): string[] =>
  fieldsOf(
    `:status: ${status}`,
    "cache-control: private",
    `date: Mon, 21 Oct 2013 20:13:${second} GMT`,
    "location: https://www.example.com",
  );
const response1 = responseTo("302", "21");
const response2 = responseTo("307", "21");
const response3 = [
  ...responseTo("200", "22"),
  ...fieldsOf("content-encoding: gzip", "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
];

describe("HpackDecoder reads RFC 7541 appendix C", () => {
  test.each([
    ["C.2.1", "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", ["custom-key", "custom-header"], 55],
    ["C.2.2", "040c 2f73 616d 706c 652f 7061 7468", [":path", "/sample/path"], 0],
    ["C.2.3", "1008 7061 7373 776f 7264 0673 6563 7265 74", ["password", "secret"], 0],
    ["C.2.4", "82", [":method", "GET"], 0],
  ])("%s", (_name, block, fields, size) => {
    const decoder = new HpackDecoder();
    expect(decodeAll(decoder, block)).toEqual(fields);
    expect(decoder.table.size).toBe(size);
  });

  test.each([
    [
      "C.3, plain requests",
      ["8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", "8286 84be 5808 6e6f 2d63 6163 6865"],
      "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ],
    [
      "C.4, Huffman requests",
      ["8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", "8286 84be 5886 a8eb 1064 9cbf"],
      "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ],
  ])("%s", (_name, [first, second], third) => {
    const decoder = new HpackDecoder();
    expect(decodeAll(decoder, first!)).toEqual(request1);
    expect(decoder.table.size).toBe(57);
    expect(decodeAll(decoder, second!)).toEqual(request2);
    expect(decoder.table.size).toBe(110);
    expect(decodeAll(decoder, third)).toEqual(request3);
    expect(decoder.table.size).toBe(164);
  });

  test.each([
    [
      "C.5, plain responses with eviction",
      [
        `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d
         546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
        "4803 3330 37c1 c0bf",
        `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f
         6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b
         2076 6572 7369 6f6e 3d31`,
      ],
    ],
    [
      "C.6, Huffman responses with eviction",
      [
        `4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7
         8f0b 97c8 e9ae 82ae 43d3`,
        "4883 640e ffc1 c0bf",
        `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335
         dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07`,
      ],
    ],
  ])("%s", (_name, blocks) => {
    const decoder = new HpackDecoder();
    decoder.table.resize(256);
    expect(blocks.map((block) => decodeAll(decoder, block))).toEqual([response1, response2, response3]);
    expect(decoder.table.size).toBe(215);
  });
});

describe("HpackDecoder refuses", () => {
  test.each([
    ["index 0", "80"],
    ["an index beyond the table", "be"],
    ["a literal whose name's index is beyond the table", "7f00 0161"],
    ["an integer that never ends", "ffff ffff ffff ffff ffff"],
    ["an integer that is cut off", "ff"],
    ["a string longer than the block", "400a 6375"],
    ["a block that ends before the value", "4001 61"],
    ["a table size above the limit", "3fe2 1f"],
    ["a table size after a field", "8220"],
    ["EOS within a string", "4084 ffff ffff 0161"],
    ["Huffman padding of zeros", "4081 1800 0161"],
    ["Huffman padding of a whole byte", "4082 1fff 0161"],
  ])("%s", (_name, block) => {
    expect(() => decodeAll(new HpackDecoder(), block)).toThrow(ConnectionError);
  });

  test("a list above the limit, and stays in step", () => {
    const decoder = new HpackDecoder();
    const block = hex("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572");
    expect(decoder.decode(block, 0, block.length, 54)).toBeUndefined();
    expect(decodeAll(decoder, "be")).toEqual(["custom-key", "custom-header"]);
  });
});

describe("huffmanDecode", () => {
  test("knows every symbol, the long ones too", () => {
    // 0xff then 0x00: 26 and 13 bits (RFC 7541 appendix B: 3ffffee, 1ff8), padded with one 1.
    const bits = `${(0x3ffffee).toString(2).padStart(26, "0")}${(0x1ff8).toString(2).padStart(13, "0")}1`;
    const bytes = Buffer.from(bits.match(/.{8}/g)!.map((byte) => Number.parseInt(byte, 2)));
    expect(huffmanDecode(bytes, 0, bytes.length)).toBe("\u00ff\u0000");
  });

  test("takes an empty string", () => {
    expect(huffmanDecode(Buffer.alloc(0), 0, 0)).toBe("");
  });
});

describe("HpackEncoder", () => {
  const template = new HeaderTemplate([":status", "200", "content-type", "application/grpc"]);
  const decode = (decoder: HpackDecoder, bytes: Buffer): string[] | undefined =>
    decoder.decode(bytes, 0, bytes.length, limit);

  test("sends a template in one byte a field from the second time on", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    expect(decode(decoder, encoder.encode(template))).toEqual([...template.fields]);
    const second = encoder.encode(template);
    expect(second.length).toBe(2);
    expect(decode(decoder, second)).toEqual([...template.fields]);
    expect(encoder.encode(template)).toBe(second);
  });

  test("keeps templates apart as the table grows", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    const other = new HeaderTemplate(["grpc-status", "0"]);
    for (const source of [template, other, template, other, ["x", "y"], template, other]) {
      const fields = source instanceof HeaderTemplate ? source.fields : source;
      expect(decode(decoder, encoder.encode(source))).toEqual([...(fields as string[])]);
    }
  });

  test.each([0, 40, 4096, 100_000])("follows a peer that allows a table of %d bytes", (size) => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    expect(decode(decoder, encoder.encode(template))).toEqual([...template.fields]);
    encoder.limit(size);
    for (let i = 0; i < 3; i++) expect(decode(decoder, encoder.encode(template))).toEqual([...template.fields]);
    expect(decoder.table.capacity).toBe(Math.min(size, 4096));
  });

  test("announces the smallest size in between", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    decode(decoder, encoder.encode(template));
    encoder.limit(0);
    encoder.limit(4096);
    const block = encoder.encode(template);
    expect(block[0]).toBe(0x20);
    expect(decode(decoder, block)).toEqual([...template.fields]);
    expect(decoder.table.length).toBe(62);
  });
});
