/** Placeholder until the lab is in. */
export const demo = async (_signal: AbortSignal): Promise<void> => undefined;
