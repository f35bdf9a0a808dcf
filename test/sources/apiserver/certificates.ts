/** Certificates for tests, made by openssl: authorities, and what they sign. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';

export interface Pair {
  readonly cert: string;
  readonly key: string;
}

const openssl = (...args: readonly string[]) => execa('openssl', args, { stderr: 'pipe' });

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

const read = async (dir: string, name: string): Promise<Pair> => ({
  cert: await readFile(join(dir, `${name}.crt`), 'utf8'),
  key: await readFile(join(dir, `${name}.key`), 'utf8'),
});

export const makeAuthority = async (dir: string, name: string): Promise<Pair> => {
  const [key, cert] = [join(dir, `${name}.key`), join(dir, `${name}.crt`)];
  await openssl('req', '-x509', ...NEW_KEY, '-keyout', key, '-out', cert, '-subj', `/CN=${name}`, '-days', '2');
  return read(dir, name);
};

/** A certificate for a subject, good for 127.0.0.1 and `apiserver.test` where it serves. */
export const makeCertificate = async (dir: string, authority: string, name: string): Promise<Pair> => {
  const [key, cert, request] = [join(dir, `${name}.key`), join(dir, `${name}.crt`), join(dir, `${name}.csr`)];
  const names = 'subjectAltName=IP:127.0.0.1,DNS:apiserver.test';
  await openssl('req', ...NEW_KEY, '-keyout', key, '-out', request, '-subj', `/CN=${name}`, '-addext', names);
  const [ca, caKey] = [join(dir, `${authority}.crt`), join(dir, `${authority}.key`)];
  const signing = ['-CA', ca, '-CAkey', caKey, '-CAcreateserial', '-days', '2', '-copy_extensions', 'copy'];
  await openssl('x509', '-req', '-in', request, '-out', cert, ...signing);
  return read(dir, name);
};
