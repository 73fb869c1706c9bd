"""The GSMA Mobile Money API 1.2, which several operators and switches speak alike.

`wire` translates, `adapter` answers the ports, `simulator` is the other side. Source: the OpenAPI document of version
1.2.0 (github.com/gsmainclusivetechlab/mobilemoneyapi-devportal, MIT), against which requests and answers are validated.
"""
