import { Module } from '@nestjs/common';
import { JwtModule } from '@nestjs/jwt';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AccessTokens } from './access-tokens.js';
import { KeyRotation } from './key-rotation.js';
import { KeyVault } from './key-vault.js';
import { Revocation } from './revocation.entity.js';
import { RevocationFeed } from './revocation-feed.js';
import { RevocationFeedState } from './revocation-feed.entity.js';
import { RevocationFeedRepository } from './revocation-feed.repository.js';
import { RevocationLookup } from './revocation-lookup.js';
import { RevocationRepository } from './revocation.repository.js';
import { SigningKey } from './signing-key.entity.js';
import { SigningKeyRepository } from './signing-key.repository.js';
import { SigningKeys } from './signing-keys.js';

@Module({
  imports: [JwtModule.register({}), TypeOrmModule.forFeature([Revocation, RevocationFeedState, SigningKey])],
  providers: [
    AccessTokens,
    KeyRotation,
    KeyVault,
    RevocationFeed,
    RevocationFeedRepository,
    RevocationLookup,
    RevocationRepository,
    SigningKeyRepository,
    SigningKeys,
  ],
  exports: [AccessTokens, JwtModule, KeyRotation, RevocationFeed, RevocationLookup, RevocationRepository, SigningKeys],
})
export class TokensModule {}
