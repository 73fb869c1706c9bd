// Drive an MTN server by the npm client `mtn-momo`. Prints one JSON object.
const momo = require('mtn-momo');

const [baseUrl, userId, userSecret, collectionKey, disbursementKey, callbackUrl] = process.argv.slice(2);
const made = momo.create({ callbackHost: '127.0.0.1', baseUrl, environment: 'sandbox' });
const collections = made.Collections({ userId, userSecret, primaryKey: collectionKey });
const disbursements = made.Disbursements({ userId, userSecret, primaryKey: disbursementKey });

const settled = async (product, reference) => {
  for (let turn = 0; turn < 100; turn += 1) {
    const found = await product.getTransaction(reference);
    if (found.status !== 'PENDING') {
      if (!found.status) throw new Error('Traceback: no status');
      return [found.status, found.financialTransactionId, found.amount];
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('never settled');
};
const refusal = async (act) => {
  try {
    await act();
  } catch (error) {
    return [error.name, error.message];
  }
  throw new Error('was not refused');
};
const pay = (amount, partyId) => ({
  amount, currency: 'EUR', externalId: 'C-1', payer: { partyIdType: 'MSISDN', partyId }, payerMessage: 'June', payeeNote: 'June', callbackUrl,
});

(async () => {
  const paid = await collections.requestToPay(pay('500', '256772000111'));
  const rejected = await collections.requestToPay(pay('500', '46733123451'));
  const out = await disbursements.transfer({
    amount: '20', currency: 'EUR', externalId: 'P-1', payee: { partyIdType: 'MSISDN', partyId: '256772000111' }, payerMessage: 'Out', payeeNote: 'Out', callbackUrl,
  });
  const said = {
    paid: await settled(collections, paid),
    out: await settled(disbursements, out),
    rejected: await refusal(() => settled(collections, rejected)),
    active: [await disbursements.isPayerActive('256772000111'), await disbursements.isPayerActive('46733123462')],
    balance: (await collections.getBalance()).availableBalance,
    unknown: await refusal(() => disbursements.getTransaction('00000000-0000-4000-8000-000000000000')),
  };
  console.log(JSON.stringify(said));
})().catch((error) => {
  console.error(`Traceback: ${error.stack}`);
  process.exit(1);
});
