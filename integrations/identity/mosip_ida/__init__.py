"""MOSIP's ID authentication (IDA) 1.0 as an authentication partner speaks it: demographic and one-time-code auth, e-KYC."""
