/**
 * What is asked of this service, by the sections of docs/security.md. ASVS is OWASP ASVS 5.0.0, 63B-4 is NIST SP 800-63B-4,
 * PCI is PCI DSS 4.0.1, CS is the OWASP Cheat Sheet Series, CIS Docker is the benchmark 1.6.0, CIS MySQL that for 8.4.
 * Every one is proven by a test that says so, or stands in one of the tables of docs/security.md that are written by hand.
 */
export const REQUIREMENTS = {
  Passwords: [
    ...['(1)', '(2)', '(3)', '(4)', '(5)', '(6)', '(7)', '(8)', '(9)'].map((item) => `63B-4 §3.1.1.2${item}`),
    ...['(normalisation)', '(blocklist)', '(storage)'].map((item) => `63B-4 §3.1.1.2${item}`),
    ...['6.1.2', '6.2.1', '6.2.2', '6.2.3', '6.2.4', '6.2.5', '6.2.6', '6.2.7', '6.2.8', '6.2.9'].map(asvs),
    ...['6.2.10', '6.2.11', '6.2.12', '6.4.1', '6.4.2', '6.4.6', '11.4.2'].map(asvs),
    ...['8.3.2', '8.3.5', '8.3.6', '8.3.7', '8.3.8', '8.3.9', '8.3.10', '8.3.10.1'].map(pci),
    'CS Password Storage',
  ],
  Throttling: [
    ...['8.3.4'].map(pci),
    '63B-4 §3.2.2',
    ...['2.3.3', '2.4.1', '4.1.3', '6.1.1', '6.3.1', '15.1.3', '15.2.2', '15.3.4', '15.4.2'].map(asvs),
    'CS Credential Stuffing Prevention',
    'CS Node.js Security',
    'RFC 6585 §4',
    'draft-ietf-httpapi-ratelimit-headers',
  ],
  Enumeration: [asvs('6.3.8'), 'CS Authentication', 'CS Forgot Password'],
  Sessions: [
    ...['7.1.1', '7.1.2', '7.2.1', '7.2.2', '7.2.3', '7.2.4', '7.3.1', '7.3.2', '7.4.1', '7.4.2', '7.4.3'].map(asvs),
    ...['7.4.5', '7.5.1', '7.5.2', '10.4.5', '10.4.8', '11.5.1'].map(asvs),
    ...['2.1.3', '2.2.3', '2.3.3', '5.1', '5.1.2', '5.2'].map((section) => `63B-4 §${section}`),
    ...['8.2.5', '8.2.6', '8.2.8'].map(pci),
    'RFC 9700 §2.2.2',
    'RFC 9700 §4.14.2',
    'CS JSON Web Token',
  ],
  'Issuing tokens': [
    ...['9.2.4', '10.3.3', '10.4.4', '11.1.1', '11.2.3', 'Appendix C'].map(asvs),
    ...['9068 §2.1', '9068 §2.2', '9068 §5', '8725 §3.11', '8725 §3.12', '6749 §5.1', '7638', '9700 §2.4'].map(rfc),
  ],
  'Checking tokens': [
    ...['9.1.1', '9.1.2', '9.1.3', '9.2.1', '9.2.2', '9.2.3', '10.3.2'].map(asvs),
    ...['9068 §4', '8725 §3.1', '8725 §3.2', '8725 §3.8', '8725 §3.9', '8725 §3.10', '7515'].map(rfc),
    ...['6750 §2', '6750 §3'].map(rfc),
  ],
  'Introspection, revocation, metadata': [
    ...['7662 §2.1', '7662 §2.2', '7662 §4', '7009 §2.2', '6749 §5.2', '8414 §2', '8414 §3', '7517'].map(rfc),
    ...['10.3.1', '10.4.10', '13.2.1'].map(asvs),
  ],
  HTTP: [
    ...['3.4.1', '3.4.2', '3.4.4', '3.4.5', '3.4.6', '3.5.2', '3.5.3', '4.1.1', '4.1.2', '4.1.4', '4.2.1'].map(asvs),
    ...['13.4.2', '13.4.4', '13.4.5', '13.4.6', '14.2.1', '15.2.3'].map(asvs),
    ...['9110 §15.5.2', '9110 §15.5.6', '9457', '6585 §5'].map(rfc),
    'CS REST Security',
  ],
  Input: [
    ...['1.1.1', '1.2.4', '1.3.6', '1.3.11', '1.3.12', '1.5.3', '2.2.1', '2.2.2', '8.2.1', '8.2.2', '8.2.3'].map(asvs),
    ...['15.3.3', '15.3.5', '15.3.6', '15.3.7'].map(asvs),
    ...['5321', '5891', '6531'].map(rfc),
    pci('6.2.4'),
    'CS Input Validation',
  ],
  'Keys, TLS, secrets': [
    ...['11.1.2', '11.2.2', '11.2.4', '11.3.1', '11.3.2', '11.3.3', '12.1.1', '12.1.2', '12.2.1'].map(asvs),
    ...['12.3.1', '12.3.2', '12.3.3', '12.3.4', '13.1.4', '13.3.1', '13.3.4'].map(asvs),
    ...['8.6.2', '8.6.3', '12.3.3'].map(pci),
  ],
  'Personal data': [
    ...['14.1.1', '14.1.2', '14.2.2', '14.2.3', '14.2.4', '14.2.6', '14.2.7', '14.3.2', '15.3.1'].map(asvs),
    ...['GDPR 15', 'GDPR 17', 'GDPR 20'],
    pci('3'),
  ],
  'Audit trail and logs': [
    ...['16.2.1', '16.2.2', '16.2.5', '16.3.1', '16.3.2', '16.3.3', '16.3.4', '16.4.1', '16.4.2', '16.4.3'].map(asvs),
    ...['10.2.1.2', '10.2.1.3', '10.2.1.4', '10.2.1.5', '10.2.1.6', '10.2.1.7', '10.2.2'].map(pci),
    ...['10.3.1', '10.3.2', '10.3.3', '10.3.4', '10.4.1', '10.5.1', '10.6.1', '10.7.2', '10.7.3'].map(pci),
    'CS Logging',
  ],
  Errors: ['16.5.1', '16.5.2', '16.5.3', '16.5.4'].map(asvs),
  'Recovery and mail': [
    ...['6.3.6', '6.3.7', '6.4.3', '6.5.2'].map(asvs),
    ...['3.1.3', '4.2.1.2', '4.2.3', '4.6'].map((section) => `63B-4 §${section}`),
  ],
  Database: [
    asvs('13.2.2'),
    pci('7.2.5'),
    'CS Database Security',
    ...['2.15', '2.16', '4.4', '4.7', '5'].map((item) => `CIS MySQL ${item}`),
  ],
  Containers: [
    ...['4.1', '4.2', '4.6', '4.8', '4.9', '4.10', '5.2', '5.4', '5.5', '5.8', '5.11', '5.12', '5.13'].map(cisDocker),
    ...['5.14', '5.15', '5.22', '5.26', '5.27', '5.29', '5.30', '5.32'].map(cisDocker),
    ...['#1', '#2', '#3', '#4', '#5a', '#6', '#7', '#8', '#12'].map((rule) => `CS Docker ${rule}`),
    'CS NodeJS Docker',
    asvs('13.4.1'),
  ],
  'Supply chain': [
    'OpenSSF npm',
    'CS NPM Security',
    ...['15.1.1', '15.1.2', '15.2.1', '15.2.4'].map(asvs),
    ...['6.3.1', '6.3.2', '6.3.3'].map(pci),
  ],
  Process: [
    ...['2.2.2', '2.2.4', '6.2.1', '6.2.3', '6.4.1', '6.4.2', '6.5.1', '6.5.3', '6.5.5', '6.5.6', '8.2.1'].map(pci),
    ...['8.2.2', '8.4.2', '8.5.1', '8.6.1', '11.3.2', '11.4.2', '11.4.3', '11.4.6'].map(pci),
  ],
} satisfies Record<string, string[]>;

export type Section = keyof typeof REQUIREMENTS;

function asvs(number: string): string {
  return `ASVS ${number}`;
}

function pci(number: string): string {
  return `PCI ${number}`;
}

function rfc(number: string): string {
  return `RFC ${number}`;
}

function cisDocker(number: string): string {
  return `CIS Docker ${number}`;
}
