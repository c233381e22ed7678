import { Module } from '@nestjs/common';
import { JwtModule } from '@nestjs/jwt';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AccessTokens } from './access-tokens.js';
import { Revocation } from './revocation.entity.js';
import { RevocationLookup } from './revocation-lookup.js';
import { RevocationRepository } from './revocation.repository.js';
import { SigningKey } from './signing-key.entity.js';
import { SigningKeyRepository } from './signing-key.repository.js';
import { SigningKeys } from './signing-keys.js';

@Module({
  imports: [JwtModule.register({}), TypeOrmModule.forFeature([Revocation, SigningKey])],
  providers: [AccessTokens, RevocationLookup, RevocationRepository, SigningKeyRepository, SigningKeys],
  exports: [AccessTokens, RevocationLookup, RevocationRepository, SigningKeys],
})
export class TokensModule {}
