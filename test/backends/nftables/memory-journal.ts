/** Maps that take back what was done to them: a transaction is all of it or nothing. */
export class Journal {
  readonly #undo: (() => void)[] = [];

  set<K, V>(map: Map<K, V>, key: K, value: V): void {
    this.#remember(map, key);
    map.set(key, value);
  }

  delete<K, V>(map: Map<K, V>, key: K): void {
    this.#remember(map, key);
    map.delete(key);
  }

  /** Counts up or down; what is at nothing is not there. */
  count<K>(map: Map<K, number>, key: K, by: number): void {
    const sum = (map.get(key) ?? 0) + by;
    if (sum === 0) this.delete(map, key);
    else this.set(map, key, sum);
  }

  commit(): void {
    this.#undo.length = 0;
  }

  rollback(): void {
    for (const undo of this.#undo.reverse()) undo();
    this.#undo.length = 0;
  }

  #remember<K, V>(map: Map<K, V>, key: K): void {
    const former = map.get(key);
    this.#undo.push(former === undefined ? () => map.delete(key) : () => map.set(key, former));
  }
}
