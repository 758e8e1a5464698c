import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ItemWriter } from '../../../../src/kdbus/model/item-writer.js';

test('ItemWriter leaves nothing of what it wrote before', () => {
  const writer = new ItemWriter();
  const text = fc.uint8Array({ min: 1, maxLength: 40 });
  fc.assert(
    fc.property(fc.array(text, { maxLength: 60 }), fc.boolean(), (texts, isTaken) => {
      const chunks: Buffer[] = [];
      let size = 0;
      for (const [i, one] of texts.entries()) {
        writer.addText(i, one);
        const item = Buffer.alloc(Math.ceil((16 + one.length + 1) / 8) * 8);
        item.writeBigUInt64LE(BigInt(16 + one.length + 1), 0);
        item.writeBigUInt64LE(BigInt(i), 8);
        item.set(one, 16);
        size = Buffer.concat(chunks).length + 16 + one.length + 1;
        chunks.push(item);
      }
      expect(writer.size).toBe(size);
      if (isTaken) expect(Buffer.from(writer.take())).toEqual(Buffer.concat(chunks).subarray(0, size));
      else writer.clear();
      expect(writer.size).toBe(0);
    }),
  );
});
