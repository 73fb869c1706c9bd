// A certified OpenID provider by others, holding one client to the protocol; people sign in and consent at once.
// Arguments: the folder of modules, our public keys as a JWK set, the person's claims, and one setting to break.
// Prints its address.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [modules, keys, person, broken] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const { Provider } = await import(pathToFileURL(require.resolve('oidc-provider')).href);

const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

const client = {
  client_id: 'akiba',
  redirect_uris: ['https://scheme.example/back'],
  token_endpoint_auth_method: 'private_key_jwt',
  token_endpoint_auth_signing_alg: 'RS256',
  jwks: JSON.parse(keys),
  userinfo_signed_response_alg: 'RS256',
  userinfo_encrypted_response_alg: 'RSA-OAEP-256',
  userinfo_encrypted_response_enc: 'A256GCM',
};
if (broken === 'unsigned-userinfo') {
  for (const name of Object.keys(client).filter((one) => one.startsWith('userinfo_'))) delete client[name];
}
const provider = new Provider(issuer, {
  clients: [client],
  claims: { openid: ['sub'], profile: ['name', 'birthdate', 'gender'], phone: ['phone_number'], address: ['address'], email: ['email'] },
  features: {
    devInteractions: { enabled: false },
    claimsParameter: { enabled: true },
    encryption: { enabled: true },
    jwtUserinfo: { enabled: true },
  },
  pkce: { required: () => true },
  conformIdTokenClaims: true,
  findAccount: (_context, sub) => ({ accountId: sub, claims: () => ({ sub, ...JSON.parse(person) }) }),
  interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
  cookies: { keys: ['an-invented-key'] },
});

server.on('request', async (request, response) => {
  if (!request.url.startsWith('/interaction/')) {
    return provider.callback()(request, response);
  }
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  if (prompt.name === 'login') {
    return provider.interactionFinished(request, response, { login: { accountId: 'person-1' } });
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  grant.addOIDCClaims(['name', 'birthdate', 'gender', 'phone_number', 'email', 'address']);
  return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
});
console.log(issuer);
