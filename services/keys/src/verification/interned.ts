/** Equal values stand once, under a small number. A value that nobody holds any more gives its number back. */
export class Interned<Value> {
  private readonly numbers = new Map<string, number>();
  private readonly values: (Value | undefined)[] = [];
  private holders = new Uint32Array(16);
  private readonly free: number[] = [];

  /** `nameOf` tells the name under which a value was first held. */
  constructor(private readonly nameOf: (value: Value) => string) {}

  /** The number of the value of this name, made if nobody holds one; it is held once more. */
  hold(name: string, make: () => Value): number {
    const known = this.numbers.get(name);
    if (known !== undefined) {
      this.holders[known] = (this.holders[known] ?? 0) + 1;
      return known;
    }
    const value = make();
    const number = this.free.pop() ?? this.values.length;
    this.values[number] = value;
    if (number === this.holders.length) {
      const longer = new Uint32Array(Math.ceil(number * 1.5));
      longer.set(this.holders);
      this.holders = longer;
    }
    this.holders[number] = 1;
    this.numbers.set(name, number);
    return number;
  }

  release(number: number): void {
    const holders = (this.holders[number] ?? 0) - 1;
    this.holders[number] = holders;
    if (holders > 0) return;
    this.numbers.delete(this.nameOf(this.get(number)));
    this.values[number] = undefined;
    this.free.push(number);
  }

  get(number: number): Value {
    const value = this.values[number];
    if (value === undefined) throw new RangeError(`Nothing stands under the number ${number}.`);
    return value;
  }

  get size(): number {
    return this.numbers.size;
  }
}
