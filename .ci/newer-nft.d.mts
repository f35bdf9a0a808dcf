export declare const NEWER_NFT: string;
export declare const installNewerNft: (root: string) => void;
